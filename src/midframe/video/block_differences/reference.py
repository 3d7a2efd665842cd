"""Differences in blocks by PyTorch, on any device."""

import torch
from torch import Tensor
from torch.nn import functional


def blend_error(image: Tensor, before: Tensor, after: Tensor, t: float, block: int) -> Tensor:
    """See `midframe.video.block_differences.blend_error`."""
    blend = torch.lerp(_subsample(before), _subsample(after), t)
    largest = blend.sub_(_subsample(image)).abs_().amax(dim=2)[None, None]
    return functional.avg_pool2d(largest, block // 2, ceil_mode=True)[0, 0].cpu()


def _subsample(image: Tensor) -> Tensor:
    """Return every second pixel of every second row without alpha, (h, w, 3)."""
    return image[0, :3, ::2, ::2].permute(1, 2, 0)
