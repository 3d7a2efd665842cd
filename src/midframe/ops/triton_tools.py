"""Shared by the CUDA operators: the types they take, the precision of matrix products, the layout of images."""

import torch
from torch import Tensor

TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""Types of the tensors that the Triton kernels take; they compute in float32."""
MIN_DOT = 16
"""The smallest side of a matrix that tensor cores multiply."""


def product_precision() -> str:
    """Return how tensor cores multiply float32: in TensorFloat-32 where PyTorch allows it, else in three terms."""
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3"


def channels_innermost(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) as a contiguous tensor (N, H, W, C), a view if they are channels-last in memory."""
    return images.permute(0, 2, 3, 1).contiguous()
