"""What interpolation fails at: PSNR and sharpness by difficulty, beside simpler methods, in one
table.

python benchmarks/diagnostics.py [--model flowsep --model WEIGHTS.safetensors] [--photos FOLDER]
    [--clips CLIP ...] [--precision auto] [--no-minterpolate] [--no-rife] [--json FILE]

Rendered triplets with exact ground truth (rendered.py), on overlapping shapes and, with `--photos`,
on the first two photographs of a folder; and, with `--clips`, triplets of validation clips by the
size of their motion (clips.py). Each is measured where its difficulty lies: translations where both
frames show the image, bars where they pass, an occluder around its outline. Cells are PSNR in dB,
at most 100, and sharpness in brackets: the mean absolute Laplacian (4 neighbours) of the
interpolated frame over that of the ground truth, 1.00 if as sharp. Below the table each model's
deficits are listed, against the best of the other methods. RIFE is measured where it is installed,
see methods.py. Two minutes on two cores.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from clips import ClipTriplet, read_triplets
from methods import Method, load_methods
from rendered import Mask, render_all

from midframe.defaults import DEFAULT_MODEL
from midframe.evaluation.measures import MAX_PSNR, detail_ratio, laplacian, values_for_mean
from midframe.media.pictures.images import Array

CLIP_DISTANCES = (1, 3, 8)
"""Frames from the middle frame to both others, so that the motion of clips covers all sizes."""
CLIP_ROWS = 360
MOTION_PERCENTILE = 95
"""The motion of a pair is this percentile of the lengths of its optical flow (DIS), in pixels."""
MOTION_EDGES = (0, 1, 4, 8, 16, 32, 64, np.inf)
PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Score:
    """Of one method for one triplet, where it is measured."""

    psnr: float
    """In dB, at most MAX_PSNR."""
    sharpness: float


@dataclass(frozen=True)
class Row:
    """One line of the table: the mean scores of each method."""

    name: str
    triplets: int
    scores: dict[str, Score]


def score(truth: Array, interpolated: Array, region: Mask) -> Score:
    """Compare 8-bit frames (H, W, 3) within a region (H, W)."""
    squares = (truth.astype(np.float64) - interpolated)[region] ** 2
    limit = 255**2 / 10 ** (MAX_PSNR / 10)
    within = region[1:-1, 1:-1]
    details = [float(laplacian(each)[within].mean()) for each in (truth, interpolated)]
    return Score(10 * float(np.log10(255**2 / max(squares.mean(), limit))), detail_ratio(*details))


def mean_score(scores: Sequence[Score]) -> Score:
    """Average the scores of several triplets."""
    return Score(
        float(np.mean([each.psnr for each in scores])),
        float(np.mean(values_for_mean(each.sharpness for each in scores))),
    )


def score_rendered(methods: dict[str, Method], photos: list[Path]) -> Iterator[Row]:
    """Score every method on every rendered difficulty."""
    for name, triplets in render_all(photos):
        scores = {
            method: mean_score(
                [score(t.middle, run(t.first, t.second), t.region) for t in triplets]
            )
            for method, run in methods.items()
        }
        yield Row(name, len(triplets), scores)


def score_clips(methods: dict[str, Method], clips: list[Path], per_clip: int) -> Iterator[Row]:
    """Score every method on whole frames of clips, by the size of motion between both frames."""
    triplets = [
        triplet
        for clip in clips
        for triplet in read_triplets(clip, count=per_clip, distances=CLIP_DISTANCES, rows=CLIP_ROWS)
    ]
    motions = [motion_of(each) for each in triplets]
    for low, high in pairwise(MOTION_EDGES):
        chosen = [
            each for each, motion in zip(triplets, motions, strict=True) if low <= motion < high
        ]
        if chosen:
            scores = {
                method: mean_score(
                    [_score_whole(each, run(each.first, each.second)) for each in chosen]
                )
                for method, run in methods.items()
            }
            yield Row(f"clips, motion of {low:g} to {high:g} px", len(chosen), scores)


def motion_of(triplet: ClipTriplet) -> float:
    """Measure the motion from the first to the second frame in pixels."""
    grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (triplet.first, triplet.second)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)  # type: ignore[call-overload]
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), MOTION_PERCENTILE))


def _score_whole(triplet: ClipTriplet, interpolated: Array) -> Score:
    return score(triplet.middle, interpolated, np.ones(triplet.middle.shape[:2], bool))


def format_row(row: Row) -> str:
    """Format a line of a Markdown table."""
    cells = [f"{each.psnr:.2f} ({each.sharpness:.2f})" for each in row.scores.values()]
    return f"| {row.name} | {row.triplets} | {' | '.join(cells)} |"


def deficits(rows: Sequence[Row], method: str, others: Sequence[str]) -> list[tuple[float, Row]]:
    """List the rows in which a method is worse than the best of others, the largest difference (dB)
    first."""
    found = [
        (max(row.scores[other].psnr for other in others) - row.scores[method].psnr, row)
        for row in rows
        if others
    ]
    return sorted((each for each in found if each[0] > 0), key=lambda each: -each[0])


def find_photos(folder: Path) -> list[Path]:
    """List the photographs in a folder, by name."""
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in PHOTO_ENDINGS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="PSNR and sharpness of interpolation by difficulty."
    )
    parser.add_argument("--model", action="append", help="name or file of weights; may be repeated")
    parser.add_argument("--photos", type=Path, help="a folder of photographs")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], help="validation clips")
    parser.add_argument("--per-clip", type=int, default=3, help="places in each clip")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--minterpolate", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rife", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path, help="write the table as JSON")
    options = parser.parse_args()
    begin = time.perf_counter()
    models = options.model or [DEFAULT_MODEL]
    methods = load_methods(
        models,
        precision=options.precision,
        minterpolate=options.minterpolate,
        rife=options.rife,
    )
    photos = find_photos(options.photos) if options.photos else []
    print(
        f"| PSNR dB (sharpness) | triplets | {' | '.join(methods)} "
        f"|\n{'|---' * (len(methods) + 2)}|"
    )
    rows = []
    for source in (
        score_rendered(methods, photos),
        score_clips(methods, options.clips, options.per_clip),
    ):
        for row in source:
            print(format_row(row), flush=True)
            rows.append(row)
    others = list(methods)[len(models) :]
    for model in list(methods)[: len(models)]:
        print(f"\n{model}: dB below the best of {', '.join(others)}\n")
        for number, (difference, row) in enumerate(deficits(rows, model, others), start=1):
            print(f"{number}. {row.name}: {difference:.1f} dB ({row.scores[model].psnr:.2f})")
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    if options.json:
        table = [
            {
                "case": row.name,
                "triplets": row.triplets,
                **{name: vars(each) for name, each in row.scores.items()},
            }
            for row in rows
        ]
        options.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
