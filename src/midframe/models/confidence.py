"""Where a frame between two cannot be made: both frames disagree along their flows, and nothing decides between them.

An occlusion makes frames disagree too, but there the mask decides for the one that shows it. Where it does not, a cut
slipped through or something moved beyond reach; mixing shows two ghosts there, so the nearest frame is shown instead.
"""

import torch
from torch import Tensor

from midframe.ops.constants import constant
from midframe.ops.doubt import doubt

LEAST_DOUBT, FULL_DOUBT = 0.15, 0.30
"""Up to the first, in brightness from 0 to 1, the network is trusted, from the second on not at all."""


def confidence(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """How far what a network says can be trusted, (N, 1, h, w), from 0 to 1. Arguments as in `doubt`."""
    doubts = doubt(first, second, said, taps)
    rising = ((doubts - LEAST_DOUBT) / (FULL_DOUBT - LEAST_DOUBT)).clamp(0, 1)
    return 1 - rising * rising * (3 - 2 * rising)  # without a corner


def fall_back(said: Tensor, trust: Tensor, time: Tensor, taps: int) -> Tensor:
    """Fields that show the nearest frame where there is no trust, and pass over to it smoothly.

    Args:
        said: fields as `synthesise` takes them.
        trust: from `confidence`.
        time: (N, 1, 1, 1), from 0 to 1; halfway the first frame is shown.
        taps: K.
    """
    delta = [float(tap == taps // 2) for tap in range(taps)]  # a kernel that changes nothing
    kernels = constant((*[0.0] * 4, *delta * 4, *[0.0] * 4), said.device).view(1, -1, 1, 1)
    share = constant((*[0.0] * (4 + 4 * taps), 1.0, *[0.0] * 3), said.device).view(1, -1, 1, 1)
    nearest = kernels + share * (time <= 0.5)
    return torch.lerp(nearest, said, trust)
