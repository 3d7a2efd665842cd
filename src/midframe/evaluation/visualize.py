"""Visualise FlowSep's prediction for two images: flow, kernels, mask, residual, confidence."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from midframe.evaluation.figures import save_figure
from midframe.evaluation.kernels import draw_flow_colours
from midframe.interpolator import Interpolator, check_pair
from midframe.media.pictures.images import Array
from midframe.models.ensemble import Ensemble
from midframe.models.flowsep import FlowSep
from midframe.models.network import Network
from midframe.tensors import to_tensor

Floats = np.ndarray[Any, Any]
WHEEL_SIZE = 201
"""Side of the picture of motion colours, in pixels."""


@torch.inference_mode()
def compute_maps(
    interpolator: Interpolator, first: Array, second: Array, time: float = 0.5
) -> dict[str, Floats]:
    """Return the maps that the network predicts, at their native size.

    Of a self-ensemble, the maps are those of the unchanged frames.

    Returns:
        "motion" from the first to the second frame (2, h, w), x before y, in pixels of the frames;
        "mask", the weight of the first frame (h, w), from 0 to 1; "kernels", their distance from a
        delta (h, w); "residual" (h, w, 3), in frame values; "confidence" (h, w), from 0 to 1.

    Raises:
        ValueError: the frames differ in size or type, or the network is not FlowSep.
    """
    check_pair(first, second)
    model = network_of(interpolator)
    if not isinstance(model, FlowSep):
        raise ValueError(
            f"{type(model).__name__} predicts no flows: use `midframe kernels`, or --model flowsep"
        )
    prepared = model.prepare(
        to_tensor(first, interpolator.device), to_tensor(second, interpolator.device)
    )
    prediction = model.predict(prepared, time)
    layout = model.layout
    fields = prediction.fields[0].float().cpu().numpy()
    flow, kernels = fields[layout.flows], fields[layout.kernels]
    mask, residual = fields[layout.mask], fields[layout.residual]
    taps = layout.taps
    delta = np.tile(np.arange(taps) == taps // 2, 4)[:, None, None]
    return {
        "motion": (flow[2:] - flow[:2]) * 2 * prepared.scale,
        "mask": mask[0],
        "kernels": abs(kernels - delta).sum(0) / 4,
        "residual": residual.transpose(1, 2, 0) * float(prepared.statistics.deviation),
        "confidence": prediction.confidence[0, 0].cpu().numpy(),
    }


def network_of(interpolator: Interpolator) -> Network:
    """Return the network that predicts the maps; of a self-ensemble the one that it averages."""
    return (
        interpolator.model.network
        if isinstance(interpolator.model, Ensemble)
        else interpolator.model
    )


def draw_maps(
    path: Path, interpolator: Interpolator, first: Array, second: Array, time: float = 0.5
) -> None:
    """Draw a figure of eight panels: the mean of both frames, the interpolated frame, the maps with
    their scales, and the colours of the motion.

    Raises:
        VideoError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = compute_maps(interpolator, first, second, time)
    longest = max(1.0, float(np.percentile(np.hypot(*found["motion"]), 99)))
    peak = np.iinfo(first.dtype).max
    interpolated = interpolator.interpolate(first, second, time)
    unit = {"vmin": 0, "vmax": 1}
    panels: list[tuple[str, Floats, dict[str, Any]]] = [
        ("mean of both frames", (first.astype(np.float32) + second) / 2 / peak, {}),
        (f"interpolated, t = {time:g}", interpolated.astype(np.float32) / peak, {}),
        (
            "motion from the first to the second frame",
            draw_flow_colours(found["motion"], longest),
            {},
        ),
        ("mask: weight of the first frame", found["mask"], {"cmap": "coolwarm", **unit}),
        (
            "kernels: dark where they only shift",
            found["kernels"],
            {"cmap": "magma", "vmin": 0},
        ),
        ("residual x 4, grey where there is none", (0.5 + 4 * found["residual"]).clip(0, 1), {}),
        (
            "confidence: dark where the nearest frame is shown",
            found["confidence"],
            {"cmap": "viridis", **unit},
        ),
    ]
    height, width = first.shape[:2]
    figure = Figure(figsize=(16, 2 + 8 * height / width), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(2, 4).ravel()
    for axes, (title, picture, options) in zip(places, panels, strict=False):
        shown = axes.imshow(picture, extent=(0, width, height, 0), **options)
        axes.set_title(title, fontsize=9)
        axes.set_xticks([])  # the frame is kept: a panel may be white
        axes.set_yticks([])
        if "cmap" in options:
            figure.colorbar(shown, ax=axes, shrink=0.8, aspect=30, pad=0.02)
    _draw_colour_wheel(places[len(panels)], longest)
    save_figure(figure, path, dpi=100)


def _draw_colour_wheel(axes: Any, longest: float) -> None:
    """Draw the colours of all motions up to a length in pixels, at their place."""
    span = np.linspace(-longest, longest, WHEEL_SIZE)
    motion = np.stack(np.meshgrid(span, span))
    wheel = draw_flow_colours(motion, longest)
    wheel[np.hypot(*motion) > longest] = 255
    axes.imshow(wheel, extent=(-longest, longest, longest, -longest))
    axes.set_title("colours of the motion, in pixels to the right and down", fontsize=9)
    axes.spines[:].set_visible(False)
