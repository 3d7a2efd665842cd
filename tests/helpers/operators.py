"""Checks that several operators share."""

from types import ModuleType

import pytest
from torch import Tensor


def check_dispatch(
    op: ModuleType,
    halide: ModuleType,
    triton: ModuleType,
    reference: ModuleType,
    tensors: tuple[Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check which implementation serves a frame and a kernel, both float32 on the CPU, and the same
    in other types."""
    frame, kernel = tensors
    assert (op.load_halide(), op.load_triton()) == (halide, triton)
    assert op._implementation(frame, kernel) is halide
    assert op._implementation(frame, kernel.bfloat16()) is halide
    assert op._implementation(frame, kernel.half()) is reference
    assert op._implementation(frame.double(), kernel) is reference
    monkeypatch.setattr(op, "for_device", lambda *_: None)
    assert op._implementation(frame, kernel) is reference
