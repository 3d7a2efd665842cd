"""Damaged films: what is done with them must end, with a clear error or a whole result, and leave nothing half done.

    python tests/fuzz.py [COUNT] [SEED]

Each case is a small film with some bits flipped, an end cut off, or pieces of it swapped, overwritten or left out. It
is interpolated in a process of its own, so that a crash of the interpreter is seen too.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from midframe.errors import MidframeError
from midframe.video.pipeline import interpolate_video

SECONDS = 60
"""A case that takes longer hangs."""
KEPT = "refused, the finished picture kept"
"""As where the sound alone is damaged, and can be left out."""
KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bits": lambda data, chance: flipped(data, chance),
    "cut short": lambda data, chance: bytes(data[: chance.randrange(len(data))]),
    "swapped": lambda data, chance: swapped(data, chance),
    "overwritten": lambda data, chance: overwritten(data, chance),
    "left out": lambda data, chance: left_out(data, chance),
}


def flipped(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 40)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def swapped(data: bytearray, chance: random.Random) -> bytes:
    size = chance.randint(1, max(1, len(data) // 4))
    one, other = (chance.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    return bytes(data)


def overwritten(data: bytearray, chance: random.Random) -> bytes:
    size, begin = chance.randint(1, 400), chance.randrange(len(data))
    data[begin : begin + size] = chance.randbytes(len(data[begin : begin + size]))
    return bytes(data)


def left_out(data: bytearray, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data))
    del data[begin : begin + chance.randint(1, 2000)]
    return bytes(data)


def render_sources(folder: Path) -> list[Path]:
    """A film of each kind, with sound where the container holds it."""
    from test_matrix import FILMS, Film, render
    from test_video import Averager

    made = [render(film, folder) for name, film in FILMS.items() if name in ("plain", "matroska", "quicktime", "webm")]
    made += [render(FILMS[name], folder) for name in ("avi", "transport stream")]
    interpolate_video(render(Film("small.mkv", frames=6), folder), folder / "in.gif", model=Averager())
    return [*made, folder / "in.gif"]


def attempt(source: Path, target: Path) -> str:
    """What becomes of one case."""
    from test_video import Averager

    try:
        report = interpolate_video(source, target, model=Averager(), cut_threshold=10)
    except MidframeError as error:
        if target.exists():
            return "a file under the final name after an error"
        return KEPT if "--resume goes on from there" in str(error) else "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "whole" if target.exists() and not report.problems else "told that the result lacks something"


def fuzz(count: int, seed: int = 0) -> Counter[str]:
    """Try that many damaged films; returns how often what became of them."""
    chance, found = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [(path, path.read_bytes()) for path in render_sources(folder)]
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        for number in range(count):
            path, data = chance.choice(films)
            kind = chance.choice(sorted(KINDS))
            case, target = folder / f"case{path.suffix}", folder / "result.mkv"
            case.write_bytes(KINDS[kind](bytearray(data), chance))
            try:
                outcome = pool.submit(attempt, case, target).result(timeout=SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                outcome = f"{type(error).__name__} ({path.suffix}, {kind}, number {number} of seed {seed})"
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            left = [each for each in folder.iterdir() if "result" in each.name and each != target]
            if outcome == KEPT and [each.name for each in left] == ["result.mkv.midframe"]:
                shutil.rmtree(left.pop())
            found[f"{[each.name for each in left]} left behind: {outcome}" if left else outcome] += 1
            target.unlink(missing_ok=True)
            for each in left:
                shutil.rmtree(each, ignore_errors=True)
        pool.shutdown()
    return found


if __name__ == "__main__":
    begin = time.monotonic()
    outcomes = fuzz(int((sys.argv[1:2] or ["1000"])[0]), int((sys.argv[2:3] or ["0"])[0]))
    for outcome, times in outcomes.most_common():
        print(f"{times:6}  {outcome}")
    print(f"{sum(outcomes.values())} damaged films in {time.monotonic() - begin:.0f} s")
