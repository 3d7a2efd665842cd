"""Functions that the CUDA operators share: supported types, precision of products, memory layout,
bilinear sampling.

In the kernels a tensor argument is a pointer to its first element, and offsets are in elements. An
image is contiguous, (N, C, H, W): `area` = H * W is the stride of its channels.
"""

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
def block_pixels(samples, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return sample, row and column of the pixels of a program, and which of them exist.

    The pixels of all samples are counted row by row; program i has those from `i * block` on.
    """
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
def valid_inside(valid, y, x, height, width):  # type: ignore[no-untyped-def]
    """Return which pixels are valid and in the image."""
    return valid & (y >= 0) & (y < height) & (x >= 0) & (x < width)


@triton.jit
def bilinear_corners(flow, y, x, height, width, area, valid):  # type: ignore[no-untyped-def]
    """Return the pixels between which the flow of pixels (y, x) leads, as `sample_bilinear` takes
    them.

    Positions are clamped to the image, as by `grid_sample` with padding_mode="border".

    Args:
        flow: pointers to the x component of each pixel's flow; y is `area` elements behind it.

    Returns:
        The offsets of four pixels in a channel (top left, top right, bottom left, bottom right),
        and how far the position lies beyond the first one along x and along y, in [0, 1).
    """
    source_x = x + tl.load(flow, valid, 0.0).to(tl.float32)
    source_y = y + tl.load(flow + area, valid, 0.0).to(tl.float32)
    return corners_around(source_x, source_y, height, width)


@triton.jit
def corners_around(x, y, height, width):  # type: ignore[no-untyped-def]
    """Return the pixels around positions (x, y), as `bilinear_corners` does."""
    x = tl.minimum(tl.maximum(replace_nan(x), 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(replace_nan(y), 0.0), height - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    top_left = top.to(tl.int32) * width + left.to(tl.int32)
    to_right = tl.where(left < width - 1.0, 1, 0)
    to_bottom = tl.where(top < height - 1.0, width, 0)
    return (
        top_left,
        top_left + to_right,
        top_left + to_bottom,
        top_left + to_right + to_bottom,
        x - left,
        y - top,
    )


@triton.jit
def sample_bilinear(  # type: ignore[no-untyped-def]
    channel, top_left, top_right, bottom_left, bottom_right, fraction_x, fraction_y, valid
):
    """Interpolate a channel between four of its pixels, in float32.

    Args:
        channel: pointer to the channel of an image.
        top_left, top_right, bottom_left, bottom_right, fraction_x, fraction_y: as
            `bilinear_corners` returns them, or of any shapes that broadcast.
        valid: where to read; the result is 0 elsewhere.
    """
    top = (
        tl.load(channel + top_left, valid, 0.0).to(tl.float32) * (1 - fraction_x)
        + tl.load(channel + top_right, valid, 0.0).to(tl.float32) * fraction_x
    )
    bottom = (
        tl.load(channel + bottom_left, valid, 0.0).to(tl.float32) * (1 - fraction_x)
        + tl.load(channel + bottom_right, valid, 0.0).to(tl.float32) * fraction_x
    )
    return top * (1 - fraction_y) + bottom * fraction_y
