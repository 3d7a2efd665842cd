"""The kernel of one pixel, resampled to the pixels of both frames."""

import torch
from torch import Tensor

from midframe.models.flowsep.layout import AXES, FRAMES, FieldLayout
from midframe.ops.resampling import Resampling, interpolation_weight

MAX_REACH = 31
"""Largest distance of a tap from its pixel."""


def kernels_of_pixel(
    fields: Tensor, factor: int, layout: FieldLayout, resampling: Resampling
) -> Tensor:
    """Compute the kernels of one pixel for both frames, (N, 2, K', K').

    Args:
        fields: of the pixel, (N, 4 + 4K + 4).
        factor: by which the fields are smaller than the frames.
        layout: of the fields.
        resampling: how frames are interpolated between pixels.
    """
    flow = fields[:, layout.flows].view(-1, FRAMES, AXES) * factor
    kernels = fields[:, layout.kernels].view(-1, FRAMES, AXES, layout.taps)
    mask = fields[:, layout.mask.start]
    reach = min(MAX_REACH, int(flow.abs().max().ceil()) + layout.taps // 2 + 1)
    places = torch.arange(-reach, reach + 1, device=fields.device)
    offsets = torch.arange(layout.taps, device=fields.device) - layout.taps // 2
    # A tap between pixels is distributed over those around it. Flows are x before y, kernels y
    # before x.
    distance = places - (flow.flip(2)[..., None, None] + offsets[:, None])  # (N, 2, 2, K, places)
    weights = interpolation_weight(distance, resampling)
    along = torch.einsum("nfakp,nfak->nfap", weights, kernels)
    frame_weights = torch.stack((mask, 1 - mask), dim=1)[..., None, None]
    vertical, horizontal = along.unbind(2)
    return torch.einsum("nfi,nfj->nfij", vertical, horizontal) * frame_weights
