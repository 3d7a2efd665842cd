"""Draw the kernels of chosen pixels, their inputs, and the motion that all kernels imply."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midframe.evaluation.figures import save_figure
from midframe.interpolator import Interpolator, check_pair
from midframe.media.pictures.images import Array
from midframe.tensors import to_tensor

Floats = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PixelKernels:
    """Kernels of one pixel of the middle frame, and the patches that they filter."""

    x: int
    y: int
    kernels: Floats
    """Kernels of the first and the second frame, (2, K, K)."""
    patches: Floats
    """Patches of both frames, (2, K, K, 3) in [0, 1]."""


@torch.inference_mode()
def pixel_kernels(
    interpolator: Interpolator, first: Array, second: Array, x: int, y: int
) -> PixelKernels:
    """Predict the kernels of one pixel; SepConv's are outer products of its 1-D kernels.

    Raises:
        ValueError: the pixel is outside the frames.
    """
    check_pair(first, second)
    height, width = first.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f"pixel {x},{y} lies outside the frames: x is from 0 to {width - 1}, "
            f"y from 0 to {height - 1}"
        )
    tensors = to_tensor(first, interpolator.device), to_tensor(second, interpolator.device)
    kernels = interpolator.model.kernels_at(*tensors, x=x, y=y)[0].float().cpu().numpy()
    reach = kernels.shape[1] // 2
    inside = (slice(y, y + 2 * reach + 1), slice(x, x + 2 * reach + 1))
    padded = [
        np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        for frame in (first, second)
    ]
    patches = np.stack([frame[inside] / np.float32(np.iinfo(frame.dtype).max) for frame in padded])
    return PixelKernels(x, y, kernels, patches)


@torch.inference_mode()
def kernel_motion(interpolator: Interpolator, first: Array, second: Array) -> Floats:
    """Return the motion from the first to the second frame, by the kernels' centres of mass.

    Returns:
        (2, h, w), x before y, in pixels; of every pixel or, for AdaConv, every eighth along each
            axis.
    """
    check_pair(first, second)
    tensors = [to_tensor(frame, interpolator.device) for frame in (first, second)]
    motion: Floats = interpolator.model.motion(*tensors)[0].float().cpu().numpy()
    return motion


def draw_flow_colours(motion: Floats, longest: float) -> Array:
    """Draw motion (2, h, w) as colours (h, w, 3) uint8: direction as hue, length as saturation.

    Args:
        motion: x before y, in pixels.
        longest: length with full saturation, in pixels.
    """
    hue = np.arctan2(motion[1], motion[0]) / (2 * np.pi) % 1 * 6
    strength = np.clip(np.hypot(*motion) / longest, 0, 1)
    red = abs(hue - 3) - 1
    green = 2 - abs(hue - 2)
    blue = 2 - abs(hue - 4)
    pure = np.stack([red, green, blue], axis=-1).clip(0, 1)  # (h, w, 3)
    colours = 1 - strength[..., None] * (1 - pure)
    picture: Array = np.rint(colours * 255).astype(np.uint8)
    return picture


def draw_kernels(
    path: Path,
    interpolator: Interpolator,
    first: Array,
    second: Array,
    points: list[tuple[int, int]],
) -> None:
    """Draw a figure as in the papers: marked pixels, motion, and one row per pixel.

    A row shows, for each frame, the patch and its kernel.

    Raises:
        ValueError: a pixel is outside the frames.
        VideoError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = [pixel_kernels(interpolator, first, second, x, y) for x, y in points]
    motion = kernel_motion(interpolator, first, second)
    figure = Figure(figsize=(10, 3.4 + 2.5 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=[3.4, 2.5 * len(found)])
    above, below = subfigures[0], subfigures[1]
    _draw_frames(
        above, (first.astype(np.float32) + second) / 2 / np.iinfo(first.dtype).max, motion, points
    )
    for index, (axes, pixel) in enumerate(
        zip(below.subplots(len(found), 4, squeeze=False), found, strict=True), 1
    ):
        _draw_pixel(axes, index, pixel)
    save_figure(figure, path, dpi=110)


def _draw_frames(
    figure: Any, average: Floats, motion: Floats, points: list[tuple[int, int]]
) -> None:
    left, right = figure.subplots(1, 2)
    left.imshow(average)
    for index, (x, y) in enumerate(points, start=1):
        left.plot(x, y, "o", markersize=5, markerfacecolor="none", markeredgecolor="yellow")
        left.annotate(str(index), (x, y), textcoords="offset points", xytext=(5, 5), color="yellow")
    left.set_title("mean of both frames")
    longest = max(1.0, float(np.percentile(np.hypot(*motion), 99)))
    right.imshow(
        draw_flow_colours(motion, longest), extent=(0, average.shape[1], average.shape[0], 0)
    )
    right.set_title(f"motion by the kernels, full saturation at {longest:.1f} pixels")
    for axes in (left, right):
        axes.set_axis_off()


def _draw_pixel(axes: Any, index: int, pixel: PixelKernels) -> None:
    brightest = max(float(pixel.kernels.max()), 1e-6)
    reach = pixel.kernels.shape[1] // 2
    for frame, name in enumerate(("first", "second")):
        total = float(pixel.kernels[frame].sum())
        axes[2 * frame].imshow(pixel.patches[frame])
        axes[2 * frame].set_title(f"{index}: {name} frame at {pixel.x},{pixel.y}", fontsize=8)
        drawn = axes[2 * frame + 1].imshow(
            pixel.kernels[frame].clip(0), cmap="magma", vmin=0, vmax=brightest
        )
        axes[2 * frame + 1].set_title(f"its kernel, sum {total:.2f}", fontsize=8)
        for panel in axes[2 * frame : 2 * frame + 2]:
            panel.plot(reach, reach, "+", color="cyan", markersize=6, markeredgewidth=0.6)
            panel.set_xticks([])
            panel.set_yticks([])
    axes[3].figure.colorbar(drawn, ax=axes[3], label="weight, both kernels")
