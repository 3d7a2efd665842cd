"""Report what this machine supports, and what midframe would use."""

import platform
from collections.abc import Callable
from importlib.util import find_spec

import av
import torch

from midframe.devices import choose_device, choose_precision
from midframe.errors import VideoError
from midframe.media.writing.encoders import ENCODERS, find_encoder, working_hardware
from midframe.ops.adaptive.op import load_triton
from midframe.ops.dispatch import load_optional
from midframe.ops.separable.op import load_halide

EXTRAS = {"train": ("lightning", "webdataset", "cv2", "skimage", "tensorboard", "matplotlib")}
"""Packages of each extra, by the names that Python imports."""


def examine() -> dict[str, str]:
    """Return facts about this machine, as texts: property and value."""
    device = choose_device("auto")
    precision = str(choose_precision("auto", device)).removeprefix("torch.")
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "PyTorch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "devices": ", ".join(_devices()),
        "chosen": f"{device}, {precision}",
        "CPU kernels": _kernels(load_halide, "Halide"),
        "CUDA kernels": _kernels(load_triton, "Triton") if torch.cuda.is_available() else "no CUDA",
        "FFmpeg": f"libavcodec {ffmpeg}, PyAV {av.__version__}",
        "encoders": ", ".join(name for name in ENCODERS if _there(name)),
        "hardware encoders": ", ".join(working_hardware()) or "none that works here",
        "extras": ", ".join(f"{name} {_extra(modules)}" for name, modules in EXTRAS.items()),
    }


def _devices() -> list[str]:
    found = [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _kernels(load: Callable[[], object], engine: str) -> str:
    missing = load_optional(load) is None
    return f"plain PyTorch, slow: {engine} is missing" if missing else engine


def _there(codec: str) -> bool:
    try:
        find_encoder(codec)
    except VideoError:
        return False
    return True


def _extra(modules: tuple[str, ...]) -> str:
    missing = [name for name in modules if find_spec(name) is None]
    return f"lacks {', '.join(missing)}" if missing else "is there"
