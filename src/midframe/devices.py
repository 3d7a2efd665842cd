"""Choice of device and precision."""

import torch

from midframe.errors import OptionError
from midframe.processor import has_bfloat16_instructions


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
    kind, _, index = name.partition(":")
    if not there.get(kind, False) or (index and int(index) >= torch.cuda.device_count()):
        usable_names = ", ".join(_available(there))
        raise OptionError(f"`device` {name!r} is not available: choose from auto, {usable_names}")
    return torch.device(name)


def _available(there: dict[str, bool]) -> list[str]:
    """Return the names of the devices that can be used, with each GPU."""
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    names = [kind for kind, usable in there.items() if usable]
    return names[:1] + cards + names[1:] if len(cards) > 1 else names


def choose_devices(names: str) -> list[torch.device]:
    """Return the devices of a name, or of several names of one kind with commas between them:
    "cuda:0,cuda:1".

    Raises:
        OptionError: a device is not available, or they are of several kinds.
    """
    devices = [choose_device(name.strip()) for name in names.split(",")]
    if len({each.type for each in devices}) > 1:
        raise OptionError(
            f"`device` is {names!r}: several devices must be of one kind, since others give "
            "slightly different frames"
        )
    return devices


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a precision; "auto" is the fastest type of the device without visible
    loss."""
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        fast_on_cpu = torch.bfloat16 if has_bfloat16_instructions() else torch.float32
        return {"cuda": torch.float16, "cpu": fast_on_cpu}.get(device.type, torch.float32)
    if name not in types:
        raise OptionError(f"`precision` is {name!r}: choose from auto, {', '.join(types)}")
    return types[name]
