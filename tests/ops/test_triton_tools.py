"""Tools of the Triton operators: supported tensors, precision of products, layout of images."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("triton")
from midframe.ops import triton_tools  # it needs triton
from midframe.ops.activation import triton as activation
from midframe.ops.adaptive import triton as adaptive
from midframe.ops.flow_separable import triton as flow_separable
from midframe.ops.separable import triton as separable

SUPPORTED = (torch.float32, torch.float16, torch.bfloat16)


def tensor(*shape: int, dtype: torch.dtype = torch.float32, cuda: bool = True) -> Any:
    """Return an object with the attributes of a tensor that the checks read."""
    return SimpleNamespace(is_cuda=cuda, dtype=dtype, shape=shape)


@pytest.mark.parametrize("dtype", [*SUPPORTED, torch.float64, torch.int32])
def test_cuda_tensors_of_16_and_32_bit_floats_are_supported(dtype: torch.dtype) -> None:
    supported = dtype in SUPPORTED
    image, images = tensor(1, 3, 4, 4, dtype=dtype), tensor(1, 2, 3, 4, 4, dtype=dtype)
    kernel = tensor(1, 3, 4, 4)
    for module in (triton_tools, activation):
        assert module.supports(image) == supported
        assert not module.supports(tensor(1, 3, 4, 4, cuda=False))
    assert adaptive.supports(images) == supported
    assert not adaptive.supports(tensor(1, 2, 3, 4, 4, cuda=False))
    for operator in (separable, flow_separable):
        assert operator.supports(image, kernel) == operator.supports(kernel, image) == supported
        assert not operator.supports(tensor(1, 3, 4, 4, cuda=False), kernel)


def test_frames_with_more_than_32_channels_are_not_supported() -> None:
    kernel = tensor(1, 3, 4, 4)
    for channels, supported in ((32, True), (33, False)):
        assert adaptive.supports(tensor(1, 40, channels, 4, 4)) == supported
        assert flow_separable.supports(tensor(1, channels, 40, 40), kernel) == supported


@pytest.mark.parametrize(("allowed", "expected"), [(True, "tf32"), (False, "tf32x3")])
def test_products_are_computed_in_tf32_if_pytorch_allows_it(allowed: bool, expected: str) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = allowed
        assert triton_tools.product_precision() == expected
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_channels_last_images_are_not_copied_to_make_channels_innermost() -> None:
    images = torch.rand(2, 3, 4, 5)
    result = triton_tools.channels_innermost(images)
    assert result.is_contiguous()
    assert torch.equal(result, images.permute(0, 2, 3, 1))
    innermost = images.contiguous(memory_format=torch.channels_last)
    assert triton_tools.channels_innermost(innermost).data_ptr() == innermost.data_ptr()
