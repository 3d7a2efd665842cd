"""Flows that pixels take over from others nearby (PatchMatch's propagation, doi 10.1145/1531326.1531330)."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.constants import constant
from midframe.ops.dispatch import cuda_module, forward_module
from midframe.ops.warping import warp

LEAST_DEVIATION = 1 / 255
"""Frames that hardly vary are not made to vary more than this allows."""
AROUND = 2
"""How alike both frames are is judged by the pixels up to so far to all sides."""
OWN_FIRST = ((0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Whose flow a pixel may take, in steps down and to the right: its own, if no other is better."""


def propagated(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """Give each pixel, of its own flow and those of eight pixels around it, the one that brings like to like.

    Flows made at a lower resolution are smeared where something moves past something else; a pixel near such an edge
    finds the flow that is its own on one side of it or the other. Then each gets the mean of those beside it: seams
    where neighbours took quite different flows would show as cracks.

    Args:
        first, second: frames at the size of the flow, (N, C, h, w), float32.
        flow: to the first and to the second frame, (N, 4, h, w) float32, x before y, in pixels of this size.
        step: how far away the others are, down, across and both, in pixels. Beyond an edge stands what is at it. With
            0 there are no others, and flows stay as they are.

    Returns:
        Flows (N, 4, h, w). Differentiable in the flow; which one is taken does not depend on gradients, and is found by
        Halide on the CPU. On CUDA, all by Triton.
    """
    if step == 0:
        return flow
    if fast := cuda_module("propagation_cuda", first, second, flow):
        result: Tensor = fast.propagated(first, second, flow, step)
        return result
    return propagated_plainly(first, second, flow, step)


def propagated_plainly(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """`propagated` in PyTorch."""
    taken = taken_over(first, second, flow, step)
    return functional.avg_pool2d(taken, 3, stride=1, padding=1, count_include_pad=False)


def taken_over(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """`propagated` before the mean: each flow is one of those that were given, as it was."""
    height, width = flow.shape[2:]
    with torch.no_grad():
        taken = choices(levelled(first), levelled(second), flow, step)
    steps = constant(OWN_FIRST, flow.device) * step
    rows = (torch.arange(height, device=flow.device)[:, None] + steps[:, 0][taken]).clamp(0, height - 1)
    columns = (torch.arange(width, device=flow.device) + steps[:, 1][taken]).clamp(0, width - 1)
    places = (rows * width + columns).flatten(1)[:, None].expand(-1, 4, -1)
    return flow.flatten(2).gather(2, places).view_as(flow)


def levelled(frame: Tensor) -> Tensor:
    """A frame less its mean and over its deviation, colour by colour, so that frames of a fade can be compared."""
    frame = frame - frame.mean((2, 3), keepdim=True)
    return frame / frame.square().mean((2, 3), keepdim=True).sqrt().clamp(min=LEAST_DEVIATION)


def choices(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """Which of `OWN_FIRST` each pixel takes, (N, h, w), whole numbers: along which both frames differ least."""
    if fast := forward_module("propagation_cpu", first):
        result: Tensor = fast.choices(first, second, flow, step)
        return result
    return differences(first, second, flow, step).argmin(1)


def differences(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """How much both frames differ along each of the flows that a pixel may take, (N, 9, h, w).

    It is the mean of absolute differences over all channels and over the pixels up to `AROUND` away, zero outside.
    """
    height, width = flow.shape[2:]
    around = functional.pad(flow, [step] * 4, mode="replicate")
    result = []
    for down, right in OWN_FIRST:
        top, left = step * (1 + down), step * (1 + right)
        candidate = around[..., top : top + height, left : left + width]
        one, other = (warp(*given) for given in zip((first, second), candidate.chunk(2, 1), strict=True))
        result.append((one - other).abs().mean(1, keepdim=True))
    return functional.avg_pool2d(torch.cat(result, 1), 2 * AROUND + 1, stride=1, padding=AROUND)
