"""What FlowSep says of a pair of pictures, drawn: flow, kernels, mask, residual, and where it is not to be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from midframe.evaluation.figures import save_figure
from midframe.evaluation.kernels import motion_picture
from midframe.images import Array, to_tensor
from midframe.interpolator import Interpolator, check_pair
from midframe.models.flowsep import FlowSep

Floats = np.ndarray[Any, Any]


@torch.inference_mode()
def maps_of(tool: Interpolator, first: Array, second: Array, time: float = 0.5) -> dict[str, Floats]:
    """What the network says, at the size it says it.

    Returns:
        "motion" from the first to the second frame (2, h, w), x before y, in pixels of the frames; "share" of the first
        frame (h, w), from 0 to 1; "kernels", how far they are from changing nothing (h, w); "residual" (h, w, 3), in
        brightness; "trust" (h, w), from 0 to 1.

    Raises:
        ValueError: the frames do not fit together, or the network is another.
    """
    check_pair(first, second)
    model = tool.model
    if not isinstance(model, FlowSep):
        raise ValueError(f"{type(model).__name__} has no flows to look at: see `midframe kernels`, or choose flowsep")
    prepared = model.prepare(to_tensor(first, tool.device), to_tensor(second, tool.device))
    prediction, layout = model.predict(prepared, time), model.layout
    fields = prediction.fields[0].float().cpu().numpy()
    flow, kernels = fields[layout.flows], fields[layout.kernels]
    mask, residual = fields[layout.mask], fields[layout.residual]
    taps = layout.taps
    delta = np.tile(np.arange(taps) == taps // 2, 4)[:, None, None]
    return {
        "motion": (flow[2:] - flow[:2]) * 2 * prepared.scale,
        "share": mask[0],
        "kernels": abs(kernels - delta).sum(0) / 4,
        "residual": residual.transpose(1, 2, 0) * float(prepared.statistics.deviation),
        "trust": prediction.confidence[0, 0].cpu().numpy(),
    }


def draw_look(path: Path, tool: Interpolator, first: Array, second: Array, time: float = 0.5) -> None:
    """Draw a figure of seven panels: the average, the made frame, and what `maps_of` tells.

    Raises:
        VideoError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = maps_of(tool, first, second, time)
    longest = max(1.0, float(np.percentile(np.hypot(*found["motion"]), 99)))
    peak = np.iinfo(first.dtype).max
    panels: list[tuple[str, Floats, dict[str, Any]]] = [
        ("both frames, averaged", (first.astype(np.float32) + second) / 2 / peak, {}),
        (f"made, at {time:g} of the way", tool.interpolate(first, second, time).astype(np.float32) / peak, {}),
        (f"motion, full colour at {longest:.1f} pixels", motion_picture(found["motion"], longest), {}),
        ("share of the first frame", found["share"], {"cmap": "coolwarm", "vmin": 0, "vmax": 1}),
        ("kernels: how far from changing nothing", found["kernels"], {"cmap": "magma", "vmin": 0}),
        ("residual, times 4, around grey", (0.5 + 4 * found["residual"]).clip(0, 1), {}),
        ("trust: where dark, the nearest frame is shown", found["trust"], {"cmap": "viridis", "vmin": 0, "vmax": 1}),
    ]
    height, width = first.shape[:2]
    figure = Figure(figsize=(16, 2 + 8 * height / width), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(2, 4).ravel()
    for axes, (title, picture, options) in zip(places, panels, strict=False):
        axes.imshow(picture, extent=(0, width, height, 0), **options)
        axes.set_title(title, fontsize=9)
        axes.set_xticks([])  # the outline stays: a panel may be white
        axes.set_yticks([])
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    save_figure(figure, path, dpi=100)
