"""Compiling all Halide pipelines of a FlowSep at the same time, before the first frame."""

from __future__ import annotations

from functools import partial
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
    _WarmUp(network, channels, scale).run_steps()


class _WarmUp:
    """Calls each step of a network with frames of zeros, as small as it allows.

    Args:
        network, channels, scale: as in `compile_pipelines`.
    """

    def __init__(self, network: FlowSep, channels: int, scale: int) -> None:
        self.network = network
        self.scale = scale
        with torch.inference_mode():
            self.steps = select_steps(torch.empty(0))
        self.t = torch.full((1, 1, 1, 1), 0.5)
        self.frame = self._zeros(1, channels, 1).repeat(1, 1, scale, scale)
        self.half = self._zeros(1, 3, 2)
        self.fields = self._zeros(1, network.layout.channels, 2).contiguous()
        self.flow = self.fields[:, network.layout.flows]

    def run_steps(self) -> None:
        """Run every step, in parallel threads."""
        run_in_parallel(
            self._convolve,
            *(partial(self._decode, level) for level in reversed(range(LEVELS))),
            self._propagate_flow,
            lambda: self.steps.alignment(self.half, self.half, self.fields),
            self._measure_difference,
            self._synthesise,
            self._decode_outputs,
            lambda: self.steps.downsample(self.frame[:, :3], self.scale),
            lambda: self.steps.downsample(self._zeros(1, 3, 1), 2),
        )

    def _zeros(
        self, count: int, channels: int, factor: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return an image of zeros, `factor` times smaller than the processed frame."""
        stride = self.network.stride
        height, width = max(1, stride // factor), max(1, WIDTH_IN_STRIDES * stride // factor)
        image = torch.zeros(count, channels, height, width, dtype=dtype)
        return image.contiguous(memory_format=torch.channels_last)

    def _convolve(self) -> None:
        features = self._zeros(1, self.network.config.hidden[0], 2, self.network.dtype)
        self.network.decoders[0].body[1](features)  # type: ignore[index,operator]

    def _decode(self, level: int) -> None:
        network, config = self.network, self.network.config
        factor = 2 << level
        features = self._zeros(2, config.widths[level], factor, network.dtype)
        carried = None
        if level + 1 < LEVELS:
            carried = self._zeros(1, config.hidden[level + 1], 2 * factor, network.dtype)
        flow = self._zeros(1, 4, factor).contiguous()
        network.decoders[level](features, carried, flow, self.t, self.steps)

    def _propagate_flow(self) -> None:
        config = self.network.config
        self.steps.propagate_flow(
            self.half,
            self.half,
            self.flow,
            self.t,
            config.propagation_distance,
            config.dominant_motions,
        )

    def _measure_difference(self) -> None:
        height, width = self.half.shape[2:]
        self.steps.local_difference(self.frame, self.frame, 2 * self.scale, (height, width))

    def _synthesise(self) -> None:
        self.steps.synthesise(
            self.frame,
            self.frame,
            self.fields,
            2 * self.scale,
            slice(0, 1),
            slice(0, WIDTH_IN_STRIDES),
            torch.ones(1, 1, 1, 1),
            resampling=self.network.config.resampling,
        )

    def _decode_outputs(self) -> None:
        network = self.network
        outputs = self._zeros(1, network.layout.channels, 2, network.dtype)
        self.steps.decode_outputs(outputs, self.flow, self.t, network.config.kernel_normalisation)
