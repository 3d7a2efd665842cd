"""Examination of this machine: devices, operators, encoders and missing packages."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import av
import torch

from midframe.devices import choose_device, choose_precision
from midframe.errors import VideoError
from midframe.extras import EXTRAS
from midframe.media.reading.hardware_decoding import working_devices
from midframe.media.writing.codecs import ENCODERS
from midframe.media.writing.encoders import find_encoder
from midframe.media.writing.hardware_encoders import working_hardware
from midframe.models.shipped import WEIGHTS, list_models, sha256_of
from midframe.ops.adaptive.op import load_triton
from midframe.ops.dispatch import load_optional
from midframe.ops.separable.op import load_halide
from midframe.processor import has_amx

PURPOSES = {
    "train": "datasets and training",
    "export": "ONNX files",
    "web": "the page in the browser",
    "heic": "HEIC images of phones",
    "cluster": "several machines, and storage such as S3",
}
"""What each of the `EXTRAS` is for."""
PYTORCH = "https://pytorch.org/get-started/locally"

Facts = dict[str, Any]
"""Facts by name, as JSON has them."""


def examine() -> Facts:
    """Return facts about this machine.

    Returns:
        `python`, `system`, `pytorch`, `ffmpeg` and `pyav` (texts); `processor` (`name`, `cores`,
        `threads`, `features`), `devices` (names), `chosen` (`device`, `precision`), `operators` (by
        type of device: Halide, Triton or PyTorch), `pipelines` (the folder of those that are
        compiled, if any), `codecs`, `hardware_encoders` and `hardware_decoding` (names),
        `models` (by name: `sha256`, and whether the file is `intact`), `extras` (by name: the
        missing packages) and `advice` (texts).
    """
    device = choose_device("auto")
    facts: Facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "pytorch": torch.__version__,
        "devices": _devices(),
        "chosen": {
            "device": str(device),
            "precision": str(choose_precision("auto", device)).removeprefix("torch."),
        },
        "operators": _operators(),
        "pipelines": _pipelines(),
        "ffmpeg": ".".join(map(str, av.library_versions["libavcodec"])),
        "pyav": av.__version__,
        "codecs": [name for name in ENCODERS if _is_there(name)],
        "hardware_encoders": working_hardware(),
        "hardware_decoding": working_devices(),
        "models": {
            name: {
                "sha256": model["sha256"],
                "intact": sha256_of(WEIGHTS / model["file"]) == model["sha256"],
            }
            for name, model in list_models().items()
        },
        "extras": {name: _missing(modules) for name, modules in EXTRAS.items()},
    }
    return facts | {"advice": advise(facts)}


def describe(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of `examine` as lines for people, by their titles."""
    processor = facts["processor"]
    chosen = facts["chosen"]
    operators = facts["operators"]
    extras = (
        f"{name} (without {', '.join(missing)})" if missing else name
        for name, missing in facts["extras"].items()
    )
    damaged = [name for name, model in facts["models"].items() if not model["intact"]]
    return {
        "Python": f"{facts['python']} on {facts['system']}",
        "processor": f"{processor['name']}, {processor['cores']} cores",
        "processor features": ", ".join(processor["features"]) or "unknown",
        "PyTorch": f"{facts['pytorch']}, {processor['threads']} threads",
        "devices": ", ".join(facts["devices"]),
        "chosen": f"{chosen['device']}, {chosen['precision']}",
        "CPU kernels": _kernels(operators["cpu"]),
        "CUDA kernels": _kernels(operators["cuda"]) if operators["cuda"] else "no CUDA",
        "compiled pipelines": facts["pipelines"] or "in memory only",
        "FFmpeg": f"libavcodec {facts['ffmpeg']}, PyAV {facts['pyav']}",
        "encoders": ", ".join(facts["codecs"]),
        "hardware encoders": ", ".join(facts["hardware_encoders"]) or "none that works here",
        "hardware decoding": ", ".join(facts["hardware_decoding"]) or "no device that works here",
        "models": ", ".join(f"{name} {model['sha256'][:12]}" for name, model in
                            facts["models"].items()),
        "damaged models": ", ".join(damaged) or "none",
        "extras": ", ".join(extras),
    }  # fmt: skip


def advise(facts: Mapping[str, Any]) -> list[str]:
    """Return suggestions for packages to install, from other facts of `examine`."""
    found = []
    operators = facts["operators"]
    if operators["cpu"] == "PyTorch":
        found.append("pip install halide: faster on the processor")
    if operators["cpu"] == "Halide" and facts["pipelines"] is None and sys.platform == "linux":
        found.append("gcc or clang: pipelines for the processor are then compiled once and kept")
    if operators["cuda"] == "PyTorch":
        found.append("pip install triton: faster on the GPU")
    if operators["cuda"] is None and shutil.which("nvidia-smi"):
        found.append(f"{PYTORCH}: PyTorch for CUDA, to use the GPU")
    found += [
        f"pip install 'midframe[{name}]': {PURPOSES[name]}"
        for name, missing in facts["extras"].items()
        if missing
    ]
    found += [
        f"pip install --force-reinstall midframe: the weights of {name} are damaged"
        for name, model in facts["models"].items()
        if not model["intact"]
    ]
    return found


def _processor() -> Facts:
    return {
        "name": _processor_name(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "features": _features(),
    }


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # no file of a disk
            names = [line.partition(":")[2] for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return (names[0] if names else platform.processor() or platform.machine()).strip()


def _features() -> list[str]:
    """Return the features of the processor that implementations use."""
    matrices = ["amx"] if has_amx() else []
    if find_spec("halide") is None:
        return [torch.backends.cpu.get_cpu_capability().lower(), *matrices]
    import halide as hl

    names = str(hl.get_host_target()).split("-")[3:]
    return [*(name for name in names if not name.startswith("tune_")), *matrices]


def _operators() -> dict[str, str | None]:
    cuda = ("Triton" if load_optional(load_triton) else "PyTorch") if _has_cuda() else None
    return {"cpu": "Halide" if load_optional(load_halide) else "PyTorch", "cuda": cuda}


def _pipelines() -> str | None:
    """Return the folder with compiled pipelines; None if they are compiled in memory."""
    if find_spec("halide") is None:
        return None
    from midframe.ops.native_cache import open_cache

    libraries = open_cache()
    return str(libraries.folder) if libraries else None


def _has_cuda() -> bool:
    return torch.cuda.is_available()


def _devices() -> list[str]:
    found = []
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        memory = card.total_memory / 2**30
        found.append(
            f"cuda:{number} {card.name}, {memory:.0f} GiB, compute {card.major}.{card.minor}"
        )
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _kernels(engine: str) -> str:
    return "PyTorch, slow" if engine == "PyTorch" else engine


def _is_there(codec: str) -> bool:
    try:
        find_encoder(codec)
    except VideoError:
        return False
    return True


def _missing(modules: tuple[str, ...]) -> list[str]:
    return [name for name in modules if find_spec(name) is None]
