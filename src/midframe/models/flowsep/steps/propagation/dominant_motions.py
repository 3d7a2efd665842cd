"""Dominant motions: the few motions that most of a frame has, as candidates for every pixel.

Repeated patterns look the same at every period, so a coarse level may lock onto the wrong one where
nothing else is near. The edge of the pattern and its surroundings usually move with it, and their
motion is among the dominant ones.

A dominant motion replaces the flow of a pixel only if it aligns both frames as well as the pixel's
own flow does, at the pixel and also at the two positions that its own flow leads to. The second
condition keeps objects that pass in front of a background: at the pixel the background matches
itself in both frames, but its motion does not align the object.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.propagation.comparison import difference
from midframe.ops.accumulation import at_least_float32
from midframe.ops.warping import warp

MAX_MOTION = 127
"""Longest motion that can be found along an axis, in pixels."""
SIDE = 2 * MAX_MOTION + 1
"""Cells of the histogram of motions along an axis, one for each pixel of motion."""
SAMPLE_STEP = 4
"""Every fourth pixel of every fourth row is counted."""
PEAK_RADII = (1.5, 0.75)
"""Distances in pixels along each axis within which motions are averaged around a peak, one after
the other."""
PEAK_DISTANCE = 3
"""Motions that are so close to a found one along both axes are not found again, in pixels."""
MIN_FRACTION = 0.1
"""Smallest fraction of the pixels that a dominant motion has."""
NO_MOTION = 1e6
"""Displacement in place of a missing motion; it points outside every frame."""
OUTSIDE = 1e3
"""Difference at positions outside of a frame; larger than any between standardised frames."""
AMBIGUOUS_DISTANCE = 2.0
"""Distance along an axis, in pixels, from which a dominant motion counts as different from the
pixel's own flow; a different one is preferred if both fit equally well."""
PREFERENCE, TOLERANCE = 0.9, 0.02
"""Before the comparison, the difference along a preferred motion is multiplied by `PREFERENCE` and
reduced by `TOLERANCE`."""

ChooseMotions = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Function of both standardised frames, the flow, the motions and the time, as `choose_motions`."""


def follow_dominant_motions(
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    t: Tensor,
    count: int,
    choose: ChooseMotions | None = None,
) -> Tensor:
    """Replace flows by dominant motions where these align both frames.

    Args:
        first, second: standardised frames at the size of the flow, (N, C, h, w).
        flow: to the first and to the second frame, (N, 4, h, w), x before y, in pixels.
        t: time, (N, 1, 1, 1), from 0 to 1.
        count: number of dominant motions.
        choose: `choose_motions` or another implementation of it.

    Returns:
        Flows (N, 4, h, w). The gradient is passed on as if no flow were replaced: most are replaced
        by nearly equal ones, and should still be learnt.
    """
    with torch.no_grad():
        motions = find_dominant_motions(flow[:, 2:] - flow[:, :2], count)
        index = (choose or choose_motions)(first, second, flow, motions, t)
        times = t.view(-1, 1, 1)
        flows = torch.cat((-times * motions, (1 - times) * motions), 2)  # (N, count, 4)
        flows = torch.cat((torch.zeros_like(flows[:, :1]), flows), 1)
        chosen = index.long().flatten(1)[:, None].expand(-1, 4, -1)  # (N, 4, h * w)
        replacement = flows.transpose(1, 2).gather(2, chosen).view_as(flow)
        result = torch.where(index[:, None] > 0, replacement, flow)
    return flow + (result - flow).detach() if flow.requires_grad else result


def find_dominant_motions(motion: Tensor, count: int) -> Tensor:
    """Find the peaks of a histogram of motions.

    Args:
        motion: from the first to the second frame, (N, 2, h, w), x before y, in pixels. Longer
            ones than `MAX_MOTION` are not counted.
        count: number of peaks.

    Returns:
        (N, count, 2), x before y, in pixels, the most frequent one first; `NO_MOTION` for those
        that less than `MIN_FRACTION` of the pixels have.
    """
    samples = motion.shape[0]
    motion = motion[..., ::SAMPLE_STEP, ::SAMPLE_STEP].flatten(2)  # (N, 2, P)
    motion = at_least_float32(motion).nan_to_num()  # NaN is not an index
    cells = motion.round().clamp(-MAX_MOTION, MAX_MOTION).long() + MAX_MOTION
    counted = (motion.abs() <= MAX_MOTION).all(1).to(motion.dtype)  # (N, P)
    votes = motion.new_zeros(samples, SIDE * SIDE)
    votes.scatter_add_(1, cells[:, 1] * SIDE + cells[:, 0], counted)
    area = 3 * 3  # motions between two cells are divided among them
    votes = area * functional.avg_pool2d(votes.view(samples, SIDE, SIDE), 3, stride=1, padding=1)
    axis = torch.arange(-MAX_MOTION, MAX_MOTION + 1, device=motion.device)
    peaks, frequent = [], []
    for _ in range(count):
        most, cell = votes.flatten(1).max(1, keepdim=True)  # (N, 1)
        column, row = cell % SIDE - MAX_MOTION, cell // SIDE - MAX_MOTION
        peaks.append(torch.stack((column, row), 2))
        frequent.append(most >= MIN_FRACTION * motion.shape[2])
        near_columns = (axis - column).abs() <= PEAK_DISTANCE  # (N, SIDE)
        near_rows = (axis - row).abs() <= PEAK_DISTANCE
        votes = votes.masked_fill(near_rows[:, :, None] & near_columns[:, None], 0)
    refined = _refine_peaks(motion, torch.cat(peaks, 1).to(motion.dtype))
    return torch.where(torch.stack(frequent, 1), refined, NO_MOTION)  # (N, count, 2)


def _refine_peaks(motion: Tensor, peaks: Tensor) -> Tensor:
    """Return the means of the motions (N, 2, P) around peaks (N, count, 2)."""
    for radius in PEAK_RADII:
        distance = (motion[:, None] - peaks[..., None]).abs().amax(2)  # (N, count, P)
        near = (distance <= radius).to(motion.dtype)
        number = near.sum(2, keepdim=True)  # (N, count, 1)
        means = (motion[:, None] * near[:, :, None]).sum(3) / number.clamp(min=1)
        peaks = torch.where(number > 0, means, peaks)  # none is near between two equal motions
    return peaks


def choose_motions(
    first: Tensor, second: Tensor, flow: Tensor, motions: Tensor, t: Tensor
) -> Tensor:
    """Choose the motion of each pixel: that of the least of `motion_differences`.

    Args:
        first, second, flow, t: as in `follow_dominant_motions`.
        motions: from the first to the second frame, (N, count, 2), from `find_dominant_motions`.

    Returns:
        (N, h, w), 0 for the pixel's own flow, otherwise one more than the index of a motion.
    """
    return motion_differences(first, second, flow, motions, t).argmin(1)


def motion_differences(
    first: Tensor, second: Tensor, flow: Tensor, motions: Tensor, t: Tensor
) -> Tensor:
    """Return how much both frames differ along each pixel's own flow, and along each motion, (N, 1
    + count, h, w); arguments as in `choose_motions`.

    A motion's difference at a pixel of the first frame is how much both frames differ along it. The
    difference of a candidate is the largest of three: where it crosses the pixel at the requested
    time, and where the pixel's own flow leads to in both frames. A motion further from
    that of the own flow than `AMBIGUOUS_DISTANCE` is preferred to it.
    """
    differences = [difference(warp(first, flow[:, :2]), warp(second, flow[:, 2:]))]
    for motion in motions.unbind(1):
        everywhere = motion[..., None, None].expand_as(flow[:, :2])
        along = difference(first, warp(second, everywhere))
        along = torch.where(is_inside(everywhere), along, OUTSIDE)
        offsets = (-t * everywhere, flow[:, :2], flow[:, 2:] - everywhere)
        samples = [torch.where(is_inside(each), warp(along, each), OUTSIDE) for each in offsets]
        largest = torch.stack(samples).amax(0)  # (N, 1, h, w)
        distance = (flow[:, 2:] - flow[:, :2] - everywhere).abs().amax(1, keepdim=True)
        preferred = largest * PREFERENCE - TOLERANCE
        differences.append(torch.where(distance > AMBIGUOUS_DISTANCE, preferred, largest))
    return torch.cat(differences, 1)


def is_inside(flow: Tensor) -> Tensor:
    """Return whether each flow (N, 2, h, w) leads to a position within the frame, (N, 1, h, w)."""
    height, width = flow.shape[2:]
    x = torch.arange(width, device=flow.device) + flow[:, :1]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1:]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
