"""Compiling all Halide pipelines of a FlowSep at the same time, before the first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midframe.models.flowsep.config import LEVELS
from midframe.models.flowsep.steps import select_steps
from midframe.ops.dispatch import run_in_parallel

if TYPE_CHECKING:
    from midframe.models.flowsep.network import FlowSep

WIDTH_IN_STRIDES = 16
"""Width of the frames that pipelines are compiled with, in multiples of the network's stride: no
level may be narrower than a register of the processor."""

_compiled: set[tuple[object, ...]] = set()
"""Configurations that pipelines were compiled for: networks, types, channels of frames and
scales."""


def compile_pipelines(network: FlowSep, channels: int, scale: int) -> None:
    """Compile the pipelines that a network needs on the CPU, in parallel threads, instead of one
    after another at their first calls. Repeated calls have no effect.

    Args:
        network: on the CPU.
        channels: of the frames.
        scale: factor by which the network downsamples them.
    """
    key = network.config, network.dtype, channels, scale
    if key in _compiled:
        return
    _compiled.add(key)
    config = network.config
    layout = network.layout
    stride = network.stride
    with torch.inference_mode():
        steps = select_steps(torch.empty(0))

    def zeros(count: int, channels: int, factor: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tiny image, `factor` times smaller than the processed frame."""
        height, width = max(1, stride // factor), max(1, WIDTH_IN_STRIDES * stride // factor)
        image = torch.zeros(count, channels, height, width, dtype=dtype)
        return image.contiguous(memory_format=torch.channels_last)

    t = torch.full((1, 1, 1, 1), 0.5)
    frame = zeros(1, channels, 1).repeat(1, 1, scale, scale)
    half = zeros(1, 3, 2)
    fields = zeros(1, layout.channels, 2).contiguous()
    flow = fields[:, layout.flows]

    def convolve() -> None:
        features = zeros(1, config.hidden[0], 2, network.dtype)
        network.decoders[0].body[1](features)  # type: ignore[index,operator]

    def decode(level: int) -> None:
        factor = 2 << level
        features = zeros(2, config.widths[level], factor, network.dtype)
        carried = None
        if level + 1 < LEVELS:
            carried = zeros(1, config.hidden[level + 1], 2 * factor, network.dtype)
        network.decoders[level](features, carried, zeros(1, 4, factor).contiguous(), t, steps)

    def synthesise() -> None:
        deviation = torch.ones(1, 1, 1, 1)
        rows, columns = slice(0, 1), slice(0, WIDTH_IN_STRIDES)
        steps.synthesise(
            frame, frame, fields, 2 * scale, rows, columns, deviation, resampling=config.resampling
        )

    def decode_outputs() -> None:
        outputs = zeros(1, layout.channels, 2, network.dtype)
        steps.decode_outputs(outputs, flow, t, config.kernel_normalisation)

    run_in_parallel(
        convolve,
        lambda: decode(3),
        lambda: decode(2),
        lambda: decode(1),
        lambda: decode(0),
        lambda: steps.propagate_flow(
            half, half, flow, t, config.propagation_distance, config.dominant_motions
        ),
        lambda: steps.alignment(half, half, fields),
        lambda: steps.local_difference(frame, frame, 2 * scale, (half.shape[2], half.shape[3])),
        synthesise,
        decode_outputs,
        lambda: steps.downsample(frame[:, :3], scale),
        lambda: steps.downsample(zeros(1, 3, 1), 2),
    )
