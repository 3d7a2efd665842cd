"""How inconsistency tells errors: of interpolated frames, and of the nearest one where it is shown
instead.

python benchmarks/confidence.py DATASET [--model flowsep] [--most 24]

Whole frames that the dataset held out, its farthest ones as a pair; and pairs across a cut, from
one clip to another, where the nearest frame is the truth. From this table come MIN_INCONSISTENCY
and MAX_INCONSISTENCY of models/flowsep/confidence.py.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from midframe.interpolator import Interpolator
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.steps import select_steps
from midframe.tensors import to_tensor
from midframe.training.samples import open_shards

EDGES = (0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.30, 1.0)


@torch.inference_mode()
def look(model: FlowSep, first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """Inconsistency, and the errors of the interpolated and of the nearest frame in grey levels, at
    every value."""
    height, width = first.shape[2:]
    prepared = model.prepare(first, second)
    made = model.render_tile(prepared, slice(0, height), slice(0, width)).clamp(0, 1)
    fields = model.predict(prepared).fields
    inconsistency = select_steps(fields).alignment(*prepared.halves, fields)[:, :1]
    factor = 2 * prepared.scale
    errors = [
        functional.avg_pool2d(255 * (each - truth).abs().mean(1, keepdim=True), factor)
        for each in (made, first)
    ]
    rows, columns = errors[0].shape[2:]
    return torch.cat([inconsistency[..., :rows, :columns], *errors]).flatten(1)


def table(title: str, values: Tensor) -> None:
    """Print shares of values and their mean errors, by inconsistency."""
    print(f"{title}\n{'inconsistency':>14}{'share %':>10}{'made':>8}{'nearest':>9}")
    for low, high in pairwise(EDGES):
        within = values[:, (values[0] >= low) & (values[0] < high)]
        if within.shape[1]:
            share = 100 * within.shape[1] / values.shape[1]
            print(
                f"{low:7.2f}-{high:.2f}  "
                f"{share:10.3f}{within[1].mean():8.2f}{within[2].mean():9.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="flowsep")
    parser.add_argument("--most", type=int, default=24)
    options = parser.parse_args()
    shards = open_shards(options.dataset, "validation_frames")
    interpolator = Interpolator(options.model)
    model = interpolator.model
    assert isinstance(model, FlowSep)
    model.falls_back = False
    moving, cuts = [], []
    before = None
    for index in range(min(options.most, len(shards))):
        count = shards.frame_count(index)
        frames = [
            to_tensor(frame, interpolator.device)
            for frame in shards.read_frames(index, (0, count // 2, count - 1))
        ]
        moving.append(look(model, frames[0], frames[2], frames[1]))
        if before is not None and before.shape == frames[0].shape:
            cuts.append(look(model, before, frames[0], before))
        before = frames[2]
    table("within a clip", torch.cat(moving, dim=1))
    table("across a cut, or between distant moments of a clip", torch.cat(cuts, dim=1))


if __name__ == "__main__":
    main()
