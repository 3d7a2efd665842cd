"""Data types of accumulation."""

import pytest
import torch

from midframe.ops.accumulation import to_accumulation_type


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((torch.bfloat16,), torch.float32),
        ((torch.float16, torch.float32), torch.float32),
        ((torch.float32, torch.float64), torch.float64),
        ((torch.float64, torch.bfloat16), torch.float64),
    ],
)
def test_tensors_are_accumulated_in_float32_or_float64(
    types: tuple[torch.dtype, ...], expected: torch.dtype
) -> None:
    tensors = [torch.tensor([1.5, -2.0]).to(each) for each in types]
    converted = to_accumulation_type(*tensors)
    assert [each.dtype for each in converted] == [expected] * len(types)
    assert all(each.tolist() == [1.5, -2.0] for each in converted)
