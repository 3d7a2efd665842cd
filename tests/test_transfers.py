"""Copies between main memory and a device; test_cuda.py tests copies to and from a GPU."""

import pytest
import torch

from midframe.transfers import download, upload


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_a_copy_has_the_same_values(dtype: torch.dtype) -> None:
    values = torch.arange(12).reshape(3, 4).to(dtype)
    copy = download(upload(values, "cpu"))
    assert copy.dtype == dtype
    assert torch.equal(copy.float(), values.float())


def test_nothing_is_copied_on_the_cpu() -> None:
    values = torch.rand(3, 4)
    assert download(upload(values, "cpu")).data_ptr() == values.data_ptr()
