"""Nodes that interpolate batches of images, (N, H, W, C) float from 0 to 1."""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from midframe.defaults import DEFAULT_MODEL
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.media.reading.scenes import DEFAULT_THRESHOLD, CutDetector
from midframe.models.shipped import list_models
from midframe.ops.workers import Workers
from midframe.options import RetimingOptions
from midframe.rates import parse_rate
from midframe.video.lookup import FrameContent, FrameLookup

CATEGORY = "image/video"
IMAGES = {"images": ("IMAGE", {"tooltip": "Successive frames of a video, two or more."})}
OPTIONS: dict[str, Any] = {
    "model": (
        list(list_models()),
        {"default": DEFAULT_MODEL, "tooltip": "The network; flowsep-small is the fastest."},
    ),
    "scene_change": (
        "FLOAT",
        {
            "default": DEFAULT_THRESHOLD, "min": 0.0, "max": 100.0, "step": 0.5,
            "tooltip": "Score from which a change counts as a cut, across which the frame before "
            "it is held; 0 for no cuts.",
        },
    ),
    "hold_last": (
        "BOOLEAN",
        {
            "default": True,
            "tooltip": "Show the last frame for its whole duration, so that the result is as long "
            "as the source; otherwise the result ends with the last frame.",
        },
    ),
    "ensemble": (
        ["1", "2", "4", "8"],
        {
            "default": "1",
            "tooltip": "Mirrored and rotated views whose results are averaged: better, and as many "
            "times slower.",
        },
    ),
}  # fmt: skip


class InterpolateFrames:
    """Multiplies the number of frames."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Interpolates frames between successive images of a batch."
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "interpolate"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  # the name that ComfyUI calls
        factor = {"default": 2.0, "min": 1.0, "max": 64.0, "step": 0.5,
                  "tooltip": "Multiple of the frame rate."}  # fmt: skip
        return {"required": {**IMAGES, "factor": ("FLOAT", factor)}, "optional": OPTIONS}

    def interpolate(self, images: Tensor, factor: float, **options: Any) -> tuple[Tensor]:
        return (retime(images, None, RetimingOptions(factor=factor), **options),)


class ConvertFrameRate:
    """Converts a batch from one frame rate to another."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Converts a batch of images from one frame rate to another by interpolation."
    RETURN_TYPES = ("IMAGE", "FLOAT")
    RETURN_NAMES = ("images", "fps")
    FUNCTION = "convert"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  # the name that ComfyUI calls
        rates = {
            name: ("FLOAT", {"default": default, "min": 1.0, "max": 1000.0, "step": 0.001,
                             "tooltip": tooltip})
            for name, default, tooltip in (
                ("source_fps", 24.0, "Frames per second of the batch."),
                ("target_fps", 60.0, "Frames per second of the result; 59.94 is 60000/1001."),
            )
        }  # fmt: skip
        return {"required": {**IMAGES, **rates}, "optional": OPTIONS}

    def convert(
        self, images: Tensor, source_fps: float, target_fps: float, **options: Any
    ) -> tuple[Tensor, float]:
        source = parse_rate(source_fps, "source_fps")
        target = parse_rate(target_fps, "target_fps")
        return retime(images, source, RetimingOptions(fps=target), **options), float(target)


def retime(
    images: Tensor,
    rate: Fraction | None,
    options: RetimingOptions,
    *,
    model: str = DEFAULT_MODEL,
    scene_change: float = DEFAULT_THRESHOLD,
    hold_last: bool = True,
    ensemble: str | int = 1,
) -> Tensor:
    """Interpolate the frames of a batch at other times.

    Args:
        images: (N, H, W, C) float from 0 to 1, with C of 3, or 4 with alpha.
        rate: of the batch, in frames per second; None if `options` need none.
        options: `factor` or `fps`.
        model: name or file of weights.
        scene_change: score of a cut, from 0 to 100; 0 for no cuts.
        hold_last: show the last frame for its whole duration.
        ensemble: number of views.

    Returns:
        (M, H, W, C) float32, in which frames of the batch are unchanged.

    Raises:
        ValueError: the batch or an option is not valid.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"a batch of images (N, H, W, C) is needed, got {tuple(images.shape)}")
    interpolator = load_interpolator(model, int(ensemble))
    lookup = FrameLookup(len(images), rate or Fraction(1), options, interpolator.depth)
    contents = [lookup.content(number) for number in range(lookup.frames)]
    if not hold_last:
        contents = drop_holds(contents, len(images) - 1)
    frames = images.cpu().float()
    begins = find_cuts(frames, scene_change) if scene_change else [False] * len(frames)
    return render(frames, contents, begins, interpolator)


@lru_cache(maxsize=1)
def load_interpolator(model: str, ensemble: int) -> Interpolator:
    """Load a network, which is kept until another one is needed."""
    return Interpolator(model, ensemble=ensemble)  # type: ignore[arg-type]  # checked there


def drop_holds(contents: list[FrameContent], last: int) -> list[FrameContent]:
    """Drop the repetitions of the last source frame, which has the number `last`."""
    shown = [number for number, content in enumerate(contents) if content.source == last]
    return contents[: shown[0] + 1] if shown else contents


def find_cuts(frames: Tensor, threshold: float) -> list[bool]:
    """Return for each frame (H, W, C) of a batch whether it begins a new scene."""
    detector = CutDetector(threshold)
    found = []
    for frame in frames:
        image = np.ascontiguousarray(frame[..., :3].clamp(0, 1).mul(255).round().byte().numpy())
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        found.append(detector.begins_scene(picture.reformat(format="yuv444p")))
    return found


def render(
    frames: Tensor, contents: list[FrameContent], begins: list[bool], interpolator: Interpolator
) -> Tensor:
    """Render the frames of a result.

    Args:
        frames: of the source, (N, H, W, C).
        contents: of the frames of the result.
        begins: whether each source frame begins a new scene.
        interpolator: interpolates.
    """
    result = torch.empty(len(contents), *frames.shape[1:])
    report = progress_bar(len(contents))
    pairs: dict[int, list[int]] = {}
    for number, content in enumerate(contents):
        if content.t and not begins[content.source + 1]:
            pairs.setdefault(content.source, []).append(number)
        else:
            result[number] = frames[content.source]
            report(1)

    def interpolate(pair: tuple[int, list[int]]) -> list[Array]:
        source, numbers = pair
        first, second = (frames[each].contiguous().numpy() for each in (source, source + 1))
        return interpolator.interpolate_many(first, second, [contents[each].t for each in numbers])

    height, width = frames.shape[1:3]
    with Workers(interpolator.pairs_at_once(height, width)) as workers:
        jobs = workers.map(interpolate, pairs.items())
        for numbers, images in zip(pairs.values(), jobs, strict=True):
            for number, image in zip(numbers, images, strict=True):
                result[number] = torch.from_numpy(image).clamp(0, 1)
                report(1)
    return result


def progress_bar(total: int) -> Callable[[int], None]:
    """Return a function that reports finished frames to ComfyUI; it raises an exception when the
    user interrupts the work. Without ComfyUI it does nothing."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda _: None
    update: Callable[[int], None] = ProgressBar(total).update
    return update
