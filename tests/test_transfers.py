"""Copies between main memory and a device; those of a graphics card are tested in test_cuda."""

import pytest
import torch

from midframe.transfers import download, upload


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_a_copy_has_the_same_values(dtype: torch.dtype) -> None:
    values = torch.arange(12).reshape(3, 4).to(dtype)
    returned = download(upload(values, "cpu"))
    assert returned.dtype == dtype
    assert torch.equal(returned.float(), values.float())


def test_on_the_processor_nothing_is_copied() -> None:
    values = torch.rand(3, 4)
    assert download(upload(values, "cpu")).data_ptr() == values.data_ptr()
