"""How much faster two workers of one core each are than one, on a Ray cluster of this machine.

python benchmarks/cluster_scaling.py [--model NAME] [--rounds 5] [--scenes 8]

A film of 640x360 is rendered, in which each scene is a segment. It is interpolated by one worker
and by two in turns; each worker may use only one core. The process that plans, joins and checks the
film shares these cores.
"""

import argparse
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np
import ray

from midframe.cluster.batch import ClusterBatch
from midframe.cluster.connection import WorkerAllocation
from midframe.cluster.pool import Pool
from midframe.options import InterpolationOptions, VideoOptions

FRAMES = 32
"""Frames of a scene: twice as many frames of the result are enough for a segment."""


def render_film(path: Path, scenes: int) -> None:
    """Write gliding textures of 640x360, another one in each scene."""
    rows, columns = np.mgrid[0:360, 0:640].astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(scenes * FRAMES):
            scene = number // FRAMES
            waves = [
                np.sin((columns - 4 * number) / (9 + 7 * k + 5 * (scene % 2)))
                * np.sin(rows / (7 + 5 * k))
                for k in range(3)
            ]
            image = 128 - 60 * (scene % 2) + 60 * np.stack(waves, axis=-1)
            shown = av.VideoFrame.from_ndarray(
                np.clip(np.rint(image), 0, 255).astype(np.uint8), format="rgb24"
            )
            shown.pts, shown.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))


def pin_new_workers(pinned: set[int]) -> None:
    """Give each worker process that is not yet pinned a core of its own, from the first one on."""
    found = [
        process
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"ray::Worker" in path.read_bytes()
        and parent_of(parent_of(process := int(path.parent.name))) == os.getpid()
    ]
    for core, process in enumerate(sorted(set(found) - pinned)):
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
        pinned.add(process)


def parent_of(process: int) -> int:
    """Return the parent of a process; that of a worker is a machine of the cluster."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def measure(pool: Pool, folder: Path, model: str) -> float:
    """Return the seconds for the film in a folder, from its plan to the check of its result."""
    with tempfile.TemporaryDirectory() as out:
        options = InterpolationOptions(model)
        batch = ClusterBatch(str(folder), out, pool, options, VideoOptions())
        begin = time.perf_counter()
        (result,) = batch.run(batch.find_videos(lambda path: path.suffix))
        seconds = time.perf_counter() - begin
        batch.close()
    assert result.status == "done", result
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="flowsep-small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=8)
    options = parser.parse_args()
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    pinned: set[int] = set()
    pools = {}
    for count in (1, 2):
        pools[count] = Pool(InterpolationOptions(options.model), WorkerAllocation(count, 1, 0))
        pools[count].network_properties()
        time.sleep(5)  # until the second worker is there too
        pin_new_workers(pinned)
    with tempfile.TemporaryDirectory() as name:
        render_film(Path(name) / "film.mp4", options.scenes)
        for pool in pools.values():  # compiles pipelines
            measure(pool, Path(name), options.model)
        found: dict[int, list[float]] = {1: [], 2: []}
        print(f"{options.scenes * FRAMES} frames of 640x360, {options.model}, in turns")
        for _ in range(options.rounds):
            for count, pool in pools.items():
                found[count].append(measure(pool, Path(name), options.model))
            print(
                f"one worker {found[1][-1]:6.1f} s   two workers {found[2][-1]:6.1f} s   "
                f"ratio {found[1][-1] / found[2][-1]:.2f}   "
                f"processes that want a core: {os.getloadavg()[0]:.0f}"
            )
    ratios = [one / two for one, two in zip(found[1], found[2], strict=True)]
    print(f"median ratio {median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    for pool in pools.values():
        pool.close()


if __name__ == "__main__":
    main()
