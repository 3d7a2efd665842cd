"""The choice of dominant motions on CUDA, as Triton kernels.

1. `_differences`: the difference of both frames along each pixel's own flow and along each motion.
2. `_average`: their means over windows.
3. `_choose`: the motion of each pixel, by the differences of `motion_differences`.

Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.steps.propagation.comparison import WINDOW_RADIUS
from midframe.models.flowsep.steps.propagation.dominant_motions import (
    AMBIGUOUS_DISTANCE,
    OUTSIDE,
    PREFERENCE,
    TOLERANCE,
)
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import block_pixels, corners_around, sample_bilinear, valid_inside

BLOCK = 128
"""Pixels that a program computes."""
SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def choose_motions(
    first: Tensor, second: Tensor, flow: Tensor, motions: Tensor, t: Tensor
) -> Tensor:
    """See `midframe.models.flowsep.steps.propagation.dominant_motions.choose_motions`; the result
    is int8."""
    samples, channels, height, width = first.shape
    candidates = 1 + motions.shape[1]
    flow, motions, times = flow.contiguous(), motions.contiguous(), t.reshape(-1).contiguous()
    differences = flow.new_empty(samples, candidates, height, width)
    means = torch.empty_like(differences)
    chosen = torch.empty(samples, height, width, dtype=torch.int8, device=flow.device)
    sizes = {"samples": samples, "height": height, "width": width, "block": BLOCK}
    blocks = triton.cdiv(samples * height * width, BLOCK)
    with device_guard(flow):
        _differences[(blocks, candidates)](
            first.contiguous(), second.contiguous(), flow, motions, differences, **sizes,
            channels=channels,
        )  # fmt: skip
        _average[(blocks, candidates)](
            differences, motions, means, **sizes, radius=WINDOW_RADIUS, outside=OUTSIDE
        )
        _choose[(blocks,)](
            means, flow, motions, times, chosen, **sizes, candidates=candidates, outside=OUTSIDE,
            ambiguous_distance=AMBIGUOUS_DISTANCE, preference=PREFERENCE, tolerance=TOLERANCE,
        )  # fmt: skip
    return chosen


@triton.jit
def _is_inside(x, y, height, width):  # type: ignore[no-untyped-def]
    """Return which positions are within the frame."""
    return (x >= 0.0) & (x <= width - 1.0) & (y >= 0.0) & (y <= height - 1.0)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _differences(  # type: ignore[no-untyped-def]
    first, second, flow, motions, result, samples, height, width,
    channels: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the mean difference of both frames for candidate k (program axis 1): along the own
    flow for k = 0, otherwise along motion k - 1 from the pixel of the first frame.

    Args:
        first, second: standardised frames, (N, channels, h, w).
        flow: (N, 4, h, w).
        motions: (N, candidates - 1, 2).
        result: (N, candidates, h, w).
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    k = tl.program_id(1)
    candidates = tl.num_programs(1)
    area = height * width
    own = flow + n * 4 * area + y * width + x
    motion = motions + (n * (candidates - 1) + tl.maximum(k - 1, 0)) * 2
    x1 = x + tl.where(k == 0, tl.load(own, valid, 0.0), 0.0)
    y1 = y + tl.where(k == 0, tl.load(own + area, valid, 0.0), 0.0)
    right = tl.where(k == 0, tl.load(own + 2 * area, valid, 0.0), tl.load(motion, valid, 0.0))
    down = tl.where(k == 0, tl.load(own + 3 * area, valid, 0.0), tl.load(motion + 1, valid, 0.0))
    x2 = x + right
    y2 = y + down
    # a, b, c, d: the pixels around the position in each frame
    a1, b1, c1, d1, fraction_x1, fraction_y1 = corners_around(x1, y1, height, width)
    a2, b2, c2, d2, fraction_x2, fraction_y2 = corners_around(x2, y2, height, width)
    total = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = (n * channels + channel) * area
        colour1 = sample_bilinear(first + plane, a1, b1, c1, d1, fraction_x1, fraction_y1, valid)
        colour2 = sample_bilinear(second + plane, a2, b2, c2, d2, fraction_x2, fraction_y2, valid)
        total += tl.abs(colour1 - colour2)
    tl.store(result + (n * candidates + k) * area + y * width + x, total / channels, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _average(  # type: ignore[no-untyped-def]
    differences, motions, result, samples, height, width,
    radius: tl.constexpr, outside: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Average differences over squares of 2 `radius` + 1 pixels, zero beyond the frame, for
    candidate k (program axis 1); the result is `outside` where a motion leads out of the frame.

    Args:
        differences, result: (N, candidates, h, w).
        motions: (N, candidates - 1, 2).
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    k = tl.program_id(1)
    candidates = tl.num_programs(1)
    plane = (n * candidates + k) * height * width
    total = tl.zeros((block,), tl.float32)
    for i in tl.static_range(2 * radius + 1):
        for j in tl.static_range(2 * radius + 1):
            row, column = y + (i - radius), x + (j - radius)
            inside = valid_inside(valid, row, column, height, width)
            total += tl.load(differences + plane + row * width + column, inside, 0.0)
    window: tl.constexpr = (2 * radius + 1) * (2 * radius + 1)
    motion = motions + (n * (candidates - 1) + tl.maximum(k - 1, 0)) * 2
    right, down = tl.load(motion, valid, 0.0), tl.load(motion + 1, valid, 0.0)
    leads_inside = _is_inside(x + right, y + down, height, width) | (k == 0)
    mean = tl.where(leads_inside, total / window, outside)
    tl.store(result + plane + y * width + x, mean, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _choose(  # type: ignore[no-untyped-def]
    means, flow, motions, times, chosen, samples, height, width,
    candidates: tl.constexpr, outside: tl.constexpr, ambiguous_distance: tl.constexpr,
    preference: tl.constexpr, tolerance: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Store the candidate of the least difference, 0 for the own flow; of equal ones the first.

    Args:
        means: from `_average`, (N, candidates, h, w).
        flow: (N, 4, h, w).
        motions: (N, candidates - 1, 2).
        times: (N,).
        chosen: (N, h, w), int8.
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    here = y * width + x
    own = flow + n * 4 * area + here
    first_x = tl.load(own, valid, 0.0)
    first_y = tl.load(own + area, valid, 0.0)
    second_x = tl.load(own + 2 * area, valid, 0.0)
    second_y = tl.load(own + 3 * area, valid, 0.0)
    time = tl.load(times + n, valid, 0.0)
    plane = means + n * candidates * area
    least = tl.load(plane + here, valid, 0.0)
    best = tl.zeros((block,), tl.int32)
    for k in tl.static_range(1, candidates):
        motion = motions + (n * (candidates - 1) + k - 1) * 2
        right = tl.load(motion, valid, 0.0)
        down = tl.load(motion + 1, valid, 0.0)
        plane += area
        largest = _sample(plane, x - time * right, y - time * down, height, width, outside, valid)
        at_first = _sample(plane, x + first_x, y + first_y, height, width, outside, valid)
        at_second = _sample(
            plane, x + second_x - right, y + second_y - down, height, width, outside, valid
        )
        largest = tl.maximum(largest, tl.maximum(at_first, at_second))
        distance = tl.maximum(tl.abs(second_x - first_x - right), tl.abs(second_y - first_y - down))
        preferred = largest * preference - tolerance
        difference = tl.where(distance > ambiguous_distance, preferred, largest)
        best = tl.where(difference < least, k, best)
        least = tl.minimum(difference, least)
    tl.store(chosen + n * area + here, best.to(tl.int8), valid)


@triton.jit  # type: ignore[untyped-decorator]
def _sample(plane, x, y, height, width, outside: tl.constexpr, valid):  # type: ignore[no-untyped-def]
    """Interpolate differences (h, w) between pixels; return `outside` beyond the frame."""
    a, b, c, d, fraction_x, fraction_y = corners_around(x, y, height, width)
    within = sample_bilinear(plane, a, b, c, d, fraction_x, fraction_y, valid)
    return tl.where(_is_inside(x, y, height, width), within, outside)
