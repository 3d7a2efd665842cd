"""Functions that the CUDA operators share: types, the precision of products, the layout of images,
sampling."""

import torch
import triton
import triton.language as tl
from torch import Tensor

TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""Types of tensors that the Triton kernels support; they compute in float32."""
MIN_DOT = 16
"""The smallest side of a matrix that tensor cores multiply."""


def supports(tensor: Tensor) -> bool:
    """Return whether kernels support a tensor: on CUDA, of one of `TYPES`."""
    return tensor.is_cuda and tensor.dtype in TYPES


def product_precision() -> str:
    """Return how tensor cores multiply float32: in TensorFloat-32 where PyTorch allows it, else in
    three terms."""
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3"


def channels_innermost(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) as a contiguous tensor (N, H, W, C), a view if they are
    channels-last in memory."""
    return images.permute(0, 2, 3, 1).contiguous()


@triton.jit  # type: ignore[untyped-decorator]
def pixels(samples, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return a program's pixels: their sample, row and column, and whether there are any."""
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    area = height * width
    return (
        (pixel // area).to(tl.int64),
        pixel % area // width,
        pixel % width,
        pixel < samples * area,
    )


@triton.jit
def replace_nan(values):  # type: ignore[no-untyped-def]
    """Replace NaN by 0, since it would address arbitrary memory."""
    return tl.where(values == values, values, 0.0)


@triton.jit
def corners(flow, y, x, height, width, area, valid):  # type: ignore[no-untyped-def]
    """Return the offsets in an image of the four pixels around the position that a flow points to
    (above left, above right, below left, below right), and the fractions of the position across and
    down. Positions are clamped to the image.
    """
    right = tl.minimum(
        tl.maximum(replace_nan(x + tl.load(flow, valid, 0.0).to(tl.float32)), 0.0), width - 1.0
    )
    down = tl.minimum(
        tl.maximum(replace_nan(y + tl.load(flow + area, valid, 0.0).to(tl.float32)), 0.0),
        height - 1.0,
    )
    left, top = tl.floor(right), tl.floor(down)
    a = top.to(tl.int32) * width + left.to(tl.int32)
    across = tl.where(left < width - 1.0, 1, 0)
    below = tl.where(top < height - 1.0, width, 0)
    return a, a + across, a + below, a + across + below, right - left, down - top


@triton.jit
def sample(image, a, b, c, d, px, py, valid):  # type: ignore[no-untyped-def]
    """Interpolate an image bilinearly; arguments as returned by `corners`."""
    upper = (
        tl.load(image + a, valid, 0.0).to(tl.float32) * (1 - px)
        + tl.load(image + b, valid, 0.0).to(tl.float32) * px
    )
    lower = (
        tl.load(image + c, valid, 0.0).to(tl.float32) * (1 - px)
        + tl.load(image + d, valid, 0.0).to(tl.float32) * px
    )
    return upper * (1 - py) + lower * py
