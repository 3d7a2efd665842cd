"""Score weights on validation clips: PSNR, SSIM and sharpness of triplets one, two and three frames
apart.

python benchmarks/clips.py CLIP ... [--model flowsep --model runs/mine/best.safetensors] [--per-clip
    4] [--distances 1 2 3] [--rows 360] [--frames 300] [--precision auto] [--others] [--json FILE]

Triplets come from places evenly spread over the first frames of each clip, without cuts and without
repeated frames. For distance 2 the frames two before and two after are given. Frames are reduced by
area to at most so many rows; 0 keeps their size. With `--others`, minterpolate and RIFE (where
installed, see methods.py) are measured too. Meant for choosing between weights: 24 triplets at
three distances take about half a minute a model on two cores.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from methods import Method, load_methods

from midframe.defaults import DEFAULT_MODEL
from midframe.evaluation.measures import COLUMNS, Measures, measure, values_for_mean
from midframe.media.colour.conversion import to_rgb
from midframe.media.pictures.images import Array, eight_bit
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.scenes import DEFAULT_THRESHOLD
from midframe.media.reading.source import Frame

MIN_CHANGE = 0.15
"""Mean absolute difference up to which a frame counts as a repetition of another, in grey
levels."""
DISTANCES = (1, 2, 3)
"""Frames from the middle frame to both others."""
ROWS, FRAMES = 360, 300


@dataclass(frozen=True)
class ClipTriplet:
    """Three frames of a clip at equal distances."""

    clip: str
    distance: int
    first: Array
    middle: Array
    second: Array


@dataclass(frozen=True)
class ClipScores:
    """The scores of each method for one triplet."""

    clip: str
    distance: int
    measures: dict[str, Measures]


def read_triplets(
    clip: Path,
    *,
    count: int,
    distances: Sequence[int] = DISTANCES,
    rows: int = ROWS,
    frames: int = FRAMES,
) -> list[ClipTriplet]:
    """Read triplets around at most `count` middle frames of a clip, at every distance.

    Args:
        clip: a video.
        count: how many places, evenly spread.
        distances: frames from the middle frame to both others.
        rows: frames with more rows are reduced to so many; 0 keeps their size.
        frames: how many frames of the clip are read.

    Raises:
        VideoError: the clip cannot be read.
    """
    reach = max(distances)
    with VideoReader(clip, DEFAULT_THRESHOLD) as reader:
        _, colour = reader.first_picture()
        read = list(islice(reader.read(), frames))
    usable = [
        place for place in range(reach, len(read) - reach) if _in_one_scene(read, place, reach)
    ]
    chosen = np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int)
    triplets = []
    for place in (usable[index] for index in chosen):
        offsets = {sign * distance for distance in (0, *distances) for sign in (-1, 1)}
        images = {
            offset: reduce_rows(
                eight_bit(to_rgb(read[place + offset].picture, colour))[..., :3], rows
            )
            for offset in offsets
        }
        triplets += [
            ClipTriplet(clip.stem, each, images[-each], images[0], images[each])
            for each in distances
            if min(_change(images[-each], images[0]), _change(images[0], images[each])) > MIN_CHANGE
        ]
    return triplets


def _in_one_scene(frames: list[Frame], place: int, reach: int) -> bool:
    return not any(frame.begins_scene for frame in frames[place - reach + 1 : place + reach + 1])


def _change(first: Array, second: Array) -> float:
    return float(abs(first.astype(int) - second).mean())


def reduce_rows(image: Array, rows: int) -> Array:
    """Reduce a frame (H, W, 3) by area to so many rows, to an even number of columns; 0 and smaller
    ones: unchanged."""
    height, width = image.shape[:2]
    if not rows or height <= rows:
        return np.ascontiguousarray(image)
    size = 2 * round(width * rows / height / 2), rows
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def score_triplets(
    triplets: Sequence[ClipTriplet], methods: dict[str, Method]
) -> Iterator[ClipScores]:
    """Score every method on every triplet by the protocol of `midframe evaluate`."""
    for triplet in triplets:
        results = {
            name: measure(triplet.middle, method(triplet.first, triplet.second))
            for name, method in methods.items()
        }
        yield ClipScores(triplet.clip, triplet.distance, results)


def mean_measures(scores: Sequence[ClipScores], method: str) -> Measures:
    """Average the measures of one method; PSNR counts up to MAX_PSNR."""
    found = [each.measures[method] for each in scores]
    values = {of: values_for_mean(getattr(each, of) for each in found) for of in COLUMNS}
    return Measures(**{of: float(np.mean(each)) for of, each in values.items()})


def format_table(scores: Sequence[ClipScores]) -> str:
    """Format a Markdown table: a row for each distance, each clip, and all; PSNR / SSIM / sharpness
    of each method."""
    methods = list(scores[0].measures)
    groups = {
        f"distance {each}": [s for s in scores if s.distance == each]
        for each in _distinct(scores, "distance")
    }
    groups |= {
        str(each): [s for s in scores if s.clip == each] for each in _distinct(scores, "clip")
    }
    groups["all"] = list(scores)
    lines = [f"| | triplets | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    for name, group in groups.items():
        means = [mean_measures(group, method) for method in methods]
        cells = [f"{each.psnr:.2f} / {each.ssim:.4f} / {each.sharpness:.2f}" for each in means]
        lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _distinct(scores: Sequence[ClipScores], field: str) -> list[str | int]:
    return list(dict.fromkeys(getattr(each, field) for each in scores))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="PSNR, SSIM and sharpness of weights on validation clips."
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", action="append", help="name or file of weights; may be repeated")
    parser.add_argument("--per-clip", type=int, default=4, help="places in each clip")
    parser.add_argument("--distances", type=int, nargs="+", default=DISTANCES)
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="rows that frames are reduced to; 0: not reduced"
    )
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="frames that are read of each clip"
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--others", action="store_true", help="measure minterpolate and RIFE too")
    parser.add_argument("--json", type=Path, help="write the scores of every triplet")
    options = parser.parse_args()
    methods = load_methods(
        options.model or [DEFAULT_MODEL],
        precision=options.precision,
        minterpolate=options.others,
        rife=options.others,
    )
    choice = {"count": options.per_clip, "rows": options.rows, "frames": options.frames}
    scores: list[ClipScores] = []
    for clip in options.clips:
        scores += score_triplets(
            read_triplets(clip, distances=options.distances, **choice), methods
        )
    print("PSNR dB / SSIM / sharpness\n")
    print(format_table(scores))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in scores], indent=1) + "\n")


if __name__ == "__main__":
    main()
