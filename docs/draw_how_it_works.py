"""Draw the figures of docs/how-it-works.md from two frames of a video and the shipped weights.

python docs/draw_how_it_works.py clip.mp4 126 480,280,800,400 400,160 FOLDER

The frames are 126 and 127; of them, left, top, width and height of the part that is shown, and the
pixel of it whose kernels are drawn.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from midframe import Interpolator
from midframe.evaluation.kernels import PixelKernels, draw_flow_colours, pixel_kernels
from midframe.evaluation.visualize import compute_maps
from midframe.models.adaconv import PATCH
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.config import LEVELS
from midframe.tensors import to_tensor

Array = np.ndarray[Any, Any]
STRIDE = 16
"""Of FlowSep, in pixels."""
DPI = 100
WIDTH = 11
"""Of a figure, in inches."""


def read_pair(path: str, index: int, part: str) -> tuple[Array, Array]:
    """A part "left,top,width,height" of two neighbouring frames of a video, (H, W, 3) uint8.

    Width and height are reduced to multiples of `STRIDE`.
    """
    left, top, width, height = map(int, part.split(","))
    rows = slice(top, top + height // STRIDE * STRIDE)
    columns = slice(left, left + width // STRIDE * STRIDE)
    with av.open(path) as container:
        decoded = islice(container.decode(video=0), index, index + 2)
        pair = [each.to_ndarray(format="rgb24")[rows, columns].copy() for each in decoded]
    if len(pair) < 2:
        raise SystemExit(f"{path} has no frame {index + 1}: choose a smaller number")
    return pair[0], pair[1]


def new_figure(height: float) -> Figure:
    """An empty figure that is drawn without a window."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def show(axes: Any, picture: Array, title: str, **options: Any) -> None:
    """Draw a picture without axes."""
    axes.imshow(picture, **options)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def window(frame: Array, x: int, y: int, size: int) -> Array:
    """The square of a frame around a pixel, with the edges repeated outside of it."""
    reach = size // 2
    padded = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return padded[y : y + size, x : x + size]


def draw_kernel(axes: Any, kernel: Array, title: str) -> None:
    """Draw a kernel (K, K); red is positive, blue negative."""
    limit = max(float(abs(kernel).max()), 1e-6)
    show(axes, kernel, title, cmap="RdBu_r", vmin=-limit, vmax=limit)


def draw_adaconv(pair: tuple[Array, Array], x: int, y: int) -> Figure:
    """The patches that AdaConv reads for a pixel, and the kernels that it predicts."""
    found = pixel_kernels(Interpolator("adaconv", precision="float32"), *pair, x, y)
    figure = new_figure(2.7)
    axes: Any = figure.subplots(1, 4)
    taps = found.kernels.shape[1]
    corner = (PATCH - taps) / 2 - 0.5
    for column, (frame, name) in enumerate(zip(pair, ("first", "second"), strict=True)):
        show(
            axes[column], window(frame, x, y, PATCH), f"{PATCH}x{PATCH} pixels of the {name} frame"
        )
        box = [corner, corner + taps]
        axes[column].plot(
            [box[0], box[1], box[1], box[0], box[0]], [box[0], box[0], box[1], box[1], box[0]], "y-"
        )
        draw_kernel(axes[2 + column], found.kernels[column], f"{taps}x{taps} kernel, {name} frame")
    return figure


def draw_sepconv(pair: tuple[Array, Array], x: int, y: int) -> Figure:
    """The one-dimensional kernels of SepConv for a pixel, and their outer products."""
    found = pixel_kernels(Interpolator("sepconv", precision="float32"), *pair, x, y)
    figure = new_figure(2.7)
    axes: Any = figure.subplots(1, 4)
    for column, name in enumerate(("first", "second")):
        vertical, horizontal = factors(found, column)
        places = np.arange(len(vertical)) - len(vertical) // 2
        axes[2 * column].plot(places, vertical, label="vertical")
        axes[2 * column].plot(places, horizontal, label="horizontal")
        axes[2 * column].set_title(f"kernels of the {name} frame", fontsize=9)
        axes[2 * column].tick_params(labelsize=7)
        axes[2 * column].legend(fontsize=7)
        draw_kernel(axes[2 * column + 1], found.kernels[column], "their outer product")
    return figure


def factors(found: PixelKernels, index: int) -> tuple[Array, Array]:
    """The vertical and the horizontal kernel of an outer product, (K,) each, equally large."""
    columns, values, rows = np.linalg.svd(found.kernels[index])
    vertical, horizontal = columns[:, 0] * values[0] ** 0.5, rows[0] * values[0] ** 0.5
    sign = np.sign(vertical[abs(vertical).argmax()])
    return vertical * sign, horizontal * sign


@torch.inference_mode()
def level_flows(interpolator: Interpolator, pair: tuple[Array, Array]) -> list[Array]:
    """The flow to the first frame at every level, coarsest first, (2, h, w) in pixels of the
    finest level."""
    assert isinstance(interpolator.model, FlowSep)
    first, second = (to_tensor(each, interpolator.device) for each in pair)
    flows = [each[0, :2].numpy() for each in interpolator.model.estimate(first, second, 0.5).flows]
    return [each * flows[-1].shape[2] / each.shape[2] for each in flows]


def draw_flowsep(pair: tuple[Array, Array]) -> Figure:
    """The flows of every level of FlowSep, its other fields, and the interpolated frame."""
    interpolator = Interpolator("flowsep", precision="float32")
    flows, maps = level_flows(interpolator, pair), compute_maps(interpolator, *pair)
    longest = max(1.0, float(np.percentile(np.hypot(*flows[-1]), 99.5)))
    average = np.rint((pair[0].astype(float) + pair[1]) / 2).astype(np.uint8)
    figure = new_figure(2.7)
    axes: Any = figure.subplots(2, 1 + LEVELS)
    show(axes[0, 0], average, "average of both frames")
    for each, flow in zip(axes[0, 1:], flows, strict=True):
        title = f"flow, {flow.shape[2]}x{flow.shape[1]}"
        show(each, draw_flow_colours(flow, longest), title, interpolation="nearest")
    unit = {"vmin": 0, "vmax": 1}
    show(axes[1, 0], interpolator.interpolate(*pair), "interpolated frame")
    show(axes[1, 1], maps["kernels"], "kernels: distance from a delta", cmap="magma", vmin=0)
    show(axes[1, 2], maps["mask"], "mask: weight of the first frame", cmap="coolwarm", **unit)
    show(axes[1, 3], (0.5 + 4 * maps["residual"]).clip(0, 1), "residual x 4, on grey")
    show(axes[1, 4], maps["confidence"], "confidence", cmap="viridis", **unit)
    return figure


def main(video: str, index: int, part: str, pixel: str, folder: Path) -> None:
    """Draw all figures into a folder."""
    pair = read_pair(video, index, part)
    x, y = map(int, pixel.split(","))
    figures = {"adaconv": draw_adaconv(pair, x, y), "sepconv": draw_sepconv(pair, x, y)}
    figures["flowsep"] = draw_flowsep(pair)
    for name, figure in figures.items():
        figure.savefig(folder / f"how-{name}.png", dpi=DPI)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]))
