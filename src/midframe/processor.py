"""Instructions of this processor that the choice of types and implementations depends on."""

import torch


def has_bfloat16_instructions() -> bool:
    """Return whether there are instructions for products in bfloat16 (AVX-512 BF16 or AMX)."""
    return _has("_is_avx512_bf16_supported") or has_amx()


def has_amx() -> bool:
    """Return whether the processor has AMX, which multiplies tiles of bfloat16."""
    return _has("_is_amx_tile_supported")


def _has(check: str) -> bool:
    """Return the result of one of PyTorch's checks; false in versions without it."""
    return bool(getattr(torch.cpu, check, lambda: False)())
