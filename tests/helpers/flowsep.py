"""The config of a small FlowSep, and frames for it."""

import torch
from torch import Tensor

from midframe.models.flowsep import FlowSepConfig
from midframe.ops.upsampling import upsample

TINY = FlowSepConfig(widths=(4, 4, 8, 8), hidden=(8, 8, 8, 8), radii=(0, 1, 2, 2), taps=3)


def frames(height: int = 70, width: int = 93, channels: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 1, channels, height // 8 + 1, width // 8 + 1, generator=generator)
    first, second = (upsample(each, 8)[..., :height, :width] for each in coarse)
    return first, second
