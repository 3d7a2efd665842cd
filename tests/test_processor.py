"""Detection of processor instructions."""

import pytest
import torch

from midframe import processor


@pytest.mark.parametrize(
    ("checks", "bfloat16", "tiles"),
    [
        ({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": False}, False, False),
        ({"_is_avx512_bf16_supported": True, "_is_amx_tile_supported": False}, True, False),
        ({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": True}, True, True),
        ({}, False, False),
    ],
    ids=["none", "AVX-512 BF16", "AMX", "an older PyTorch"],
)
def test_instructions_are_detected_as_by_pytorch(
    checks: dict[str, bool], bfloat16: bool, tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    for name, result in checks.items():
        monkeypatch.setattr(torch.cpu, name, lambda result=result: result, raising=False)
    assert processor.has_bfloat16_instructions() == bfloat16
    assert processor.has_amx() == tiles
