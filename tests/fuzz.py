"""Damaged films: what is done with them must end, with a clear error or a whole result, and leave
nothing half done.

    python tests/fuzz.py [--sound] [COUNT] [SEED]

With --sound, the films have sound of many codecs and text, most of the damage is in it, and the
results are of all containers and partly slowed down.

Each case is a small film with some bits flipped, an end cut off, or pieces of it swapped,
overwritten or left out. It is interpolated in a process of its own, so that a crash of the
interpreter is seen too.
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
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np

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
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )
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
    from helpers.films import FILMS, Film, render
    from helpers.video import Averager

    made = [
        render(film, folder)
        for name, film in FILMS.items()
        if name in ("plain", "matroska", "quicktime", "webm")
    ]
    made += [render(FILMS[name], folder) for name in ("avi", "transport stream")]
    interpolate_video(
        render(Film("small.mkv", frames=6), folder), folder / "in.gif", model=Averager()
    )
    return [*made, folder / "in.gif"]


SOUNDS = (
    ("mp4", "aac", "stereo"), ("mp4", "ac3", "5.1(side)"), ("mp4", "libmp3lame", "stereo"),
    ("mp4", "flac", "stereo"),
    ("mkv", "aac", "5.1"), ("mkv", "libopus", "stereo"), ("mkv", "flac", "7.1"),
    ("mkv", "eac3", "5.1(side)"),
    ("mkv", "pcm_s16le", "stereo"), ("mkv", "pcm_f32le", "16 channels"),
    ("mkv", "wavpack", "stereo"),
    ("mov", "alac", "stereo"), ("mov", "pcm_s24le", "9 channels"), ("mov", "pcm_mulaw", "mono"),
    ("mov", "adpcm_ima_qt", "stereo"), ("avi", "pcm_s16le", "stereo"),
    ("avi", "libmp3lame", "stereo"),
    ("avi", "adpcm_ms", "stereo"), ("avi", "wmav2", "stereo"), ("webm", "libopus", "5.1"),
    ("ts", "aac", "stereo"), ("ts", "mp2", "stereo"), ("ts", "ac3", "stereo"),
)  # fmt: skip
"""Container, encoder and layout of films whose sound is damaged."""
TEXTS = {"mp4": "mov_text", "mov": "mov_text", "mkv": "ass", "webm": "webvtt"}


def render_sounds(folder: Path) -> list[Path]:
    """A small film for each of `SOUNDS`, with text where the container holds it."""
    return [
        render_sound(folder / f"{number}.{film[0]}", *film[1:])
        for number, film in enumerate(SOUNDS)
    ]


def render_sound(
    path: Path, encoder: str, layout: str, rate: int = 48000, seconds: Fraction = Fraction(1, 2)
) -> Path:
    """A film of 25 frames a second with noise."""
    from helpers.streams import subtitle
    from helpers.video import render_frame

    from midframe.media.streams.subtitles import ASS_HEADER

    with av.open(str(path), "w") as container:
        picture = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", 25)
        picture.width, picture.height, picture.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream(encoder, rate, layout=layout)
        if encoder == "wmav2":
            track.bit_rate = 128_000
        kind = TEXTS.get(path.suffix[1:])
        text: Any = container.add_stream(kind) if kind else None
        if text:
            text.codec_context.subtitle_header = ASS_HEADER
            text.time_base = text.codec_context.time_base = Fraction(1, 1000)
        for index in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        chance = np.random.default_rng(0)
        for begin in range(0, round(seconds * rate), 1024):
            noise = chance.uniform(-0.3, 0.3, (1, 1024 * track.codec_context.layout.nb_channels))
            samples = av.AudioFrame.from_ndarray(
                noise.astype(np.float32), format="flt", layout=layout
            )
            samples.sample_rate, samples.pts, samples.time_base = rate, begin, Fraction(1, rate)
            container.mux(track.encode(samples))
        container.mux(track.encode(None))
        for begin in range(0, 400, 200) if text else ():
            container.mux(subtitle(text, begin, begin + 150, "Some text"))
    return path


def sound_places(path: Path) -> list[tuple[int, int]]:
    """Where in a file the packets beside the picture are: begin and size."""
    with av.open(str(path)) as container:
        packets = container.demux(
            [stream for stream in container.streams if stream.type != "video"]
        )
        return [
            (packet.pos, packet.size)
            for packet in packets
            if packet.size and packet.pos is not None
        ]


def in_the_sound(data: bytearray, chance: random.Random, places: list[tuple[int, int]]) -> bytes:
    """Damage some packets beside the picture, and at times a byte of what describes them."""
    for begin, size in chance.sample(places, min(len(places), chance.randint(1, 4))):
        end = min(len(data), begin + size)
        if chance.random() < 0.3:
            data[begin:end] = chance.randbytes(max(0, end - begin))
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(max(0, begin - 16), max(begin, end))
            data[min(place, len(data) - 1)] ^= 1 << chance.randrange(8)
    return bytes(data)


def attempt(source: Path, target: Path, **wanted: Any) -> str:
    """What becomes of one case."""
    from helpers.video import Averager

    try:
        report = interpolate_video(source, target, model=Averager(), cut_threshold=10, **wanted)
    except MidframeError as error:
        if target.exists():
            return "a file under the final name after an error"
        return KEPT if "--resume continues from there" in str(error) else "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return (
        "whole"
        if target.exists() and not report.problems
        else "told that the result lacks something"
    )


def fuzz(count: int, seed: int = 0, *, sound: bool = False) -> Counter[str]:
    """Try that many damaged films; returns how often what became of them."""
    chance, found = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [
            (path, path.read_bytes())
            for path in (render_sounds if sound else render_sources)(folder)
        ]
        places = {path: sound_places(path) for path, _ in films} if sound else {}
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        for number in range(count):
            path, data = chance.choice(films)
            kind = chance.choice(
                [*sorted(KINDS), *["in the sound"] * 10] if sound else sorted(KINDS)
            )
            case, target, wanted = folder / f"case{path.suffix}", folder / "result.mkv", {}
            if sound:
                target, wanted = chosen_result(folder, chance)
            damaged = bytearray(data)
            case.write_bytes(
                in_the_sound(damaged, chance, places[path])
                if kind == "in the sound"
                else KINDS[kind](damaged, chance)
            )
            try:
                outcome = pool.submit(attempt, case, target, **wanted).result(timeout=SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                case_name = f"{path.name}, {kind}, {target.suffix}, {wanted}"
                outcome = f"{type(error).__name__} ({case_name}, number {number} of seed {seed})"
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            left = [each for each in folder.iterdir() if "result" in each.name and each != target]
            if outcome == KEPT and [each.name for each in left] == [f"{target.name}.midframe"]:
                shutil.rmtree(left.pop())
            found[
                f"{[each.name for each in left]} left behind: {outcome}" if left else outcome
            ] += 1
            target.unlink(missing_ok=True)
            for each in left:
                shutil.rmtree(each, ignore_errors=True)
        pool.shutdown()
    return found


def chosen_result(folder: Path, chance: random.Random) -> tuple[Path, dict[str, Any]]:
    """A result of any container, at times slower, and the options for it."""
    target = folder / f"result.{chance.choice(('mkv', 'mp4', 'mov', 'webm'))}"
    wanted: dict[str, Any] = (
        {"codec": "vp9", "preset": None} if target.suffix == ".webm" else {"codec": "ffv1"}
    )
    if target.suffix in (".mp4", ".mov"):
        wanted = {"codec": "h264", "preset": "ultrafast"}
    return target, wanted | ({"slow": 2} if chance.random() < 0.4 else {})


if __name__ == "__main__":
    begin = time.monotonic()
    numbers = [int(each) for each in sys.argv[1:] if each != "--sound"]
    outcomes = fuzz(*(numbers[:2] or [1000]), sound="--sound" in sys.argv)
    for outcome, times in outcomes.most_common():
        print(f"{times:6}  {outcome}")
    print(f"{sum(outcomes.values())} damaged films in {time.monotonic() - begin:.0f} s")
