"""Choice of device and precision."""

import torch

from midframe.errors import OptionError


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises:
        OptionError: there is no such device, or it is not available.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, usable in there.items() if usable))
    kind = name.partition(":")[0]
    if not there.get(kind, False):
        usable_names = ", ".join(kind for kind, usable in there.items() if usable)
        raise OptionError(f"`device` {name!r} is not available: choose from auto, {usable_names}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a precision; "auto" is the fastest type of the device without visible
    loss."""
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        fast_on_cpu = torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
        return {"cuda": torch.float16, "cpu": fast_on_cpu}.get(device.type, torch.float32)
    if name not in types:
        raise OptionError(f"`precision` is {name!r}: choose from auto, {', '.join(types)}")
    return types[name]


def cpu_multiplies_bfloat16() -> bool:
    """Return whether this processor has instructions for products in bfloat16 (AVX-512 BF16 or
    AMX)."""
    checks = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check() for check in checks if check)
