"""Instructions of this processor that the choice of types and implementations depends on."""

import torch


def multiplies_bfloat16() -> bool:
    """Return whether there are instructions for products in bfloat16 (AVX-512 BF16 or AMX)."""
    return _has("_is_avx512_bf16_supported") or multiplies_tiles()


def multiplies_tiles() -> bool:
    """Return whether there are instructions for products of tiles of bfloat16 (AMX)."""
    return _has("_is_amx_tile_supported")


def _has(check: str) -> bool:
    """Return the result of one of PyTorch's checks; false in versions without it."""
    return bool(getattr(torch.cpu, check, lambda: False)())
