"""The channels of FlowSep's fields, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

AXES = 2
"""Components of a flow: x, then y; and of a separable kernel: vertical, then horizontal."""
FRAMES = 2
COLOURS = 3


class FieldParts(NamedTuple):
    """Fields by name, each (N, channels, h, w); see `FieldLayout`."""

    flow_to_first: Tensor
    flow_to_second: Tensor
    first_vertical: Tensor
    first_horizontal: Tensor
    second_vertical: Tensor
    second_horizontal: Tensor
    mask: Tensor
    residual: Tensor


@dataclass(frozen=True)
class FieldLayout:
    """Channels of the fields by name; those of the last convolution's outputs are the same.

    Examples:
        >>> layout = FieldLayout(taps=5)
        >>> layout.kernels, layout.mask, layout.residual, layout.channels
        (slice(4, 24, None), slice(24, 25, None), slice(25, 28, None), 28)
    """

    taps: int
    """Length K of the kernels in pixels."""

    @staticmethod
    def of(fields: Tensor) -> FieldLayout:
        """Return the layout of fields (N, 4 + 4K + 4, h, w)."""
        rest = fields.shape[1] - FieldLayout(0).channels
        return FieldLayout(rest // (FRAMES * AXES))

    @property
    def flow_to_first(self) -> slice:
        """Flow to the first frame, x before y, in pixels of the fields."""
        return slice(0, AXES)  # 0:2

    @property
    def flow_to_second(self) -> slice:
        """Flow to the second frame."""
        return slice(self.flow_to_first.stop, self.flow_to_first.stop + AXES)  # 2:4

    @property
    def flows(self) -> slice:
        """Both flows."""
        return slice(self.flow_to_first.start, self.flow_to_second.stop)  # 0:4

    @property
    def first_vertical(self) -> slice:
        """The vertical kernel of the first frame."""
        return slice(self.flows.stop, self.flows.stop + self.taps)

    @property
    def first_horizontal(self) -> slice:
        """The horizontal kernel of the first frame."""
        return slice(self.first_vertical.stop, self.first_vertical.stop + self.taps)

    @property
    def second_vertical(self) -> slice:
        """The vertical kernel of the second frame."""
        return slice(self.first_horizontal.stop, self.first_horizontal.stop + self.taps)

    @property
    def second_horizontal(self) -> slice:
        """The horizontal kernel of the second frame."""
        return slice(self.second_vertical.stop, self.second_vertical.stop + self.taps)

    @property
    def each_kernel(self) -> tuple[slice, slice, slice, slice]:
        """The four kernels in their order."""
        return (
            self.first_vertical,
            self.first_horizontal,
            self.second_vertical,
            self.second_horizontal,
        )

    @property
    def kernels(self) -> slice:
        """All four kernels."""
        return slice(self.first_vertical.start, self.second_horizontal.stop)  # 4:4+4K

    @property
    def mask(self) -> slice:
        """The weight of the first frame; that of the second is 1 minus it."""
        return slice(self.kernels.stop, self.kernels.stop + 1)

    @property
    def residual(self) -> slice:
        """Red, green and blue that are added, in standard deviations of the pair."""
        return slice(self.mask.stop, self.mask.stop + COLOURS)

    @property
    def channels(self) -> int:
        """Number of all channels: 4 + 4K + 4."""
        channels: int = self.residual.stop
        return channels

    @property
    def group_sizes(self) -> list[int]:
        """Channels of the flows, the kernels, the mask and the residual, for `torch.split`."""
        return [_length(part) for part in (self.flows, self.kernels, self.mask, self.residual)]

    def split(self, fields: Tensor) -> FieldParts:
        """Split fields (N, 4 + 4K + 4, h, w), as views."""
        flows = (self.flow_to_first, self.flow_to_second)
        parts = (*flows, *self.each_kernel, self.mask, self.residual)
        return FieldParts(*torch.split(fields, [_length(part) for part in parts], dim=1))


def _length(part: slice) -> int:
    length: int = part.stop - part.start
    return length
