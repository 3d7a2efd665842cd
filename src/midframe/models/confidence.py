"""Where the network's prediction is replaced: where both frames are equal, and where it cannot be trusted.

Still areas are exact by construction: where neither a pixel's surroundings nor the places that its
flows lead to change from frame to frame, the mean of both frames by time is shown. The surroundings
alone do not decide this: an object may pass over an area that is equal in both frames, and then the
flows lead to pixels that change.

A frame between two cannot be made where both frames disagree along their flows, and nothing decides between them. An
occlusion makes frames disagree too, but there the mask decides for the one that shows it. Where it does not, a cut
slipped through or something moved beyond reach; mixing shows two ghosts there, so the nearest frame is shown instead.
"""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.constants import constant
from midframe.ops.difference import local_difference
from midframe.ops.doubt import doubt
from midframe.ops.warping import warp

LEAST_DOUBT, FULL_DOUBT = 0.15, 0.30
"""Up to the first, in brightness from 0 to 1, the network is trusted, from the second on not at all."""


STILL_DIFFERENCE, MOVING_DIFFERENCE = 0.5 / 255, 2.5 / 255
"""Up to the first difference, in brightness from 0 to 1, an area is still, from the second on it
moves. Chosen by 72 triplets of held-out clips, of which none lost 0.001 dB; with 4 / 255 some lost
0.02 dB."""


def confidence(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """How far what a network says can be trusted, (N, 1, h, w), from 0 to 1. Arguments as in `doubt`."""
    return _falling(doubt(first, second, said, taps), LEAST_DOUBT, FULL_DOUBT)


def stillness(difference: Tensor, said: Tensor) -> Tensor:
    """Measure how still frames are, (N, 1, h, w), 1 where nothing changes and 0 where something moves.

    Args:
        difference: the largest difference around each value of the fields, by `local_difference`.
        said: fields as `synthesise` takes them.
    """
    to_first, to_second = (warp(difference, flow) for flow in said[:, :4].chunk(2, 1))
    largest = difference.maximum(to_first).maximum(to_second)
    # A pixel's fields are interpolated between neighbours: where one of these moves, none is replaced.
    largest = functional.max_pool2d(largest, 3, stride=1, padding=1)
    return _falling(largest, STILL_DIFFERENCE, MOVING_DIFFERENCE)


def frame_stillness(first: Tensor, second: Tensor, said: Tensor, factor: int) -> Tensor:
    """`stillness` of frames (N, C, H, W) for fields `factor` times smaller."""
    return stillness(local_difference(first, second, factor, (said.shape[2], said.shape[3])), said)


def fall_back(said: Tensor, trust: Tensor, still: Tensor, time: Tensor, taps: int) -> Tensor:
    """Replace fields by both frames at the same place where these are still, by the nearest one where nothing is sure.

    Args:
        said: fields as `synthesise` takes them.
        trust: from `confidence`.
        still: from `stillness`; a still area shows the mean of both frames by time, whatever the trust.
        time: (N, 1, 1, 1), from 0 to 1; halfway the first frame is nearest.
        taps: K.

    Returns:
        Fields that pass over smoothly from one to another.
    """
    delta = [float(tap == taps // 2) for tap in range(taps)]  # a kernel that changes nothing
    unmoved = constant((*[0.0] * 4, *delta * 4, *[0.0] * 4), said.device).view(1, -1, 1, 1)
    shown = torch.lerp(unmoved, said, trust * (1 - still))
    mask = 4 + 4 * taps
    shown[:, mask, None] += (1 - still) * (1 - trust) * (time <= 0.5) + still * (1 - time)
    return shown


def _falling(values: Tensor, start: float, end: float) -> Tensor:
    """From 1, up to where values start, to 0, from where they end on, without a corner."""
    rising = ((values - start) / (end - start)).clamp(0, 1)
    return 1 - rising * rising * (3 - 2 * rising)
