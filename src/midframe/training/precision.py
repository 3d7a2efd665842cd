"""Choose the floating-point precision of a training run."""

from typing import Any, Literal

import torch
from lightning.fabric.plugins import MixedPrecision, Precision

from midframe.errors import ConfigError
from midframe.processor import has_bfloat16_instructions


class MixedNetwork(MixedPrecision):  # type: ignore[misc]  # lightning is untyped here
    """Apply mixed precision to the network's computation, but not to its inputs.

    Fabric would convert batches too. Frames would be rounded to 8 bits of mantissa, flows of 20
    pixels to eighths of a pixel, and the fast operators, which need float32 frames, would fall back
    to PyTorch.
    """

    def convert_input(self, data: Any) -> Any:
        return data


def training_precision(name: str) -> Precision:
    """Return Fabric's plugin for 32-true, bf16-mixed or 16-mixed; auto for the fastest here.

    Raises:
        ConfigError: unknown name.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "auto":
        name = "bf16-mixed" if device == "cuda" or has_bfloat16_instructions() else "32-true"
    mixed: dict[str, Literal["16-mixed", "bf16-mixed"]] = {
        "bf16-mixed": "bf16-mixed",
        "16-mixed": "16-mixed",
    }
    if name not in (*mixed, "32-true"):
        raise ConfigError(f"precision is {name!r}: choose from auto, 32-true, {', '.join(mixed)}")
    return MixedNetwork(mixed[name], device) if name in mixed else Precision()
