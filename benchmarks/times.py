"""How exact frames at a quarter, half and three quarters of the way are: at once, by halving, and
by averaging.

python benchmarks/times.py DATASET [--models flowsep sepconv] [--most 24]

Whole frames that the dataset held out, each with five in a row at least: the first and the fifth
are given, the three between them made.
"""

import argparse
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from statistics import mean

from midframe.evaluation.measures import measure
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import blend_images
from midframe.training.samples import open_shards

STEPS = 4
TIMES = [Fraction(step, STEPS) for step in range(1, STEPS)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--models", nargs="+", default=["flowsep", "sepconv"])
    parser.add_argument("--most", type=int, default=24)
    options = parser.parse_args()
    shards = open_shards(options.dataset, "validation_frames")
    tools = {model: Interpolator(model) for model in options.models}
    scores = defaultdict(list)
    for index in range(min(options.most, len(shards))):
        start = (shards.frame_count(index) - STEPS) // 2
        first, *truths, second = shards.read_frames(index, range(start, start + STEPS + 1))
        made = {
            name: interpolator.interpolate_many(first, second, TIMES)
            for name, interpolator in tools.items()
        }
        made["average"] = [blend_images(first, second, time) for time in TIMES]
        for name, frames in made.items():
            for time, truth, frame in zip(TIMES, truths, frames, strict=True):
                scores[name, time].append(measure(truth, frame).psnr)
    print(f"{index + 1} pairs, {STEPS} frames apart; PSNR in dB, mean")
    print(f"{'':24}" + "".join(f"{f't = {time}':>10}" for time in TIMES))
    for name in (*tools, "average"):
        print(f"{name:24}" + "".join(f"{mean(scores[name, time]):10.2f}" for time in TIMES))


if __name__ == "__main__":
    main()
