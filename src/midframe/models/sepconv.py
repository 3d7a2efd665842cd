"""SepConv: a network that writes a separable kernel for every pixel of two frames (Niklaus, Mai, Liu, ICCV 2017).

An encoder-decoder reads both frames at once; four sub-networks turn its features into a vertical and a horizontal
kernel for each frame; the middle frame is the sum of both frames filtered with them. Switches add what the authors
found later (arXiv 2011.01280, "Revisiting Adaptive Convolutions for Video Frame Interpolation").
"""

import math
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.models.network import Network, Statistics, motion_between, pair_statistics, tiles
from midframe.ops import separable_convolution
from midframe.ops.upsampling import upsample

MIN_KERNEL_SUM = 0.05
"""Kernel sums are held above this before they divide, so that no pixel explodes early in training."""
HEAD_GAIN = 0.1
"""Scale of the last convolution's initial weights: the network starts near the average of both frames."""


@dataclass(frozen=True)
class SepConvConfig:
    """The form of the network. The defaults are the paper's sizes with the later improvements."""

    taps: int = 51
    """Length of the one-dimensional kernels in pixels, odd (ICCV 2017, section 3)."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Channels of the encoder at each resolution, full resolution first (ICCV 2017, figure 2)."""
    delayed_padding: bool = True
    """Pad only what the kernels filter, not what the network reads (arXiv 2011.01280, "delayed padding")."""
    pair_normalisation: bool = True
    """The network reads frames less their joint mean, over their joint deviation (ibid., "input normalization")."""
    kernel_normalisation: bool = True
    """Divide by what the kernels make of an image of ones (ibid., "kernel normalization")."""
    slope: float = 0.0
    """Of leaky ReLU below zero; 0 is ReLU. With it no part of the network can fall silent (ibid.: PReLU)."""
    paper: bool = False
    """The network of 2017 exactly: turns what is above off, from delayed padding on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.taps % 2 == 0 or not 1 <= self.taps <= 63:
            raise ValueError(f"taps is {self.taps}: an odd number from 1 to 63 is needed")
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths are {self.widths}: two or more positive numbers are needed")
        if self.paper:
            for switch in ("delayed_padding", "pair_normalisation", "kernel_normalisation"):
                object.__setattr__(self, switch, False)
            object.__setattr__(self, "slope", 0.0)


class SeparableKernels(NamedTuple):
    """A vertical and a horizontal kernel for every pixel of each frame, all (N, K, H, W)."""

    first_vertical: Tensor
    first_horizontal: Tensor
    second_vertical: Tensor
    second_horizontal: Tensor


class MeasuredPair(NamedTuple):
    """A pair of frames (N, 3, H, W) and what was measured of them."""

    first: Tensor
    second: Tensor
    statistics: Statistics


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def activation(slope: float) -> nn.Module:
    """ReLU, leaky if the slope is not 0."""
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


class Block(nn.Sequential):
    """Three convolutions, each with ReLU (ICCV 2017, figure 2)."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs, outputs):
            layers += [convolution(channels, outputs), activation(slope)]
        super().__init__(*layers)


class Upsample(nn.Module):
    """Bilinear upsampling followed by a convolution with ReLU, which avoids checkerboards (ICCV 2017, section 3.1)."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.smooth = convolution(channels, channels)
        self.activation = activation(slope)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.activation(self.smooth(upsample(features, 2)))
        return result


class KernelHead(nn.Module):
    """From shared features at half resolution to one kernel a pixel (ICCV 2017, figure 2, the four sub-networks)."""

    def __init__(self, channels: int, taps: int, slope: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels), activation(slope), convolution(channels, channels), activation(slope),
            convolution(channels, taps), activation(slope),
        )  # fmt: skip
        self.last = convolution(taps, taps)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.last(upsample(self.body(features), 2))
        return result


class SepConv(Network):
    """The whole network; see the module's text. Frames are (N, 3, H, W) in [0, 1]."""

    tile = 768

    def __init__(self, config: SepConvConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SepConvConfig()
        widths, slope = config.widths, config.slope
        self.encoder = nn.ModuleList(map(Block, (6, *widths[:-1]), widths, repeat(slope)))
        deep_to_shallow = widths[:0:-1]  # 512, 256, 128, 64
        self.decoder = nn.ModuleList(map(Block, (widths[-1], *deep_to_shallow[:-1]), deep_to_shallow, repeat(slope)))
        self.enlarge = nn.ModuleList(map(Upsample, deep_to_shallow, repeat(slope)))
        self.heads = nn.ModuleList(KernelHead(widths[1], config.taps, slope) for _ in range(4))
        self._initialise()

    @property
    def stride(self) -> int:
        """Frames must be this multiple in height and width; `forward` pads what is not."""
        return 1 << len(self.config.widths)

    @property
    def margin(self) -> int:
        """Pixels around a part that change what the network makes of it (beyond it they hardly do)."""
        return 3 * self.stride

    def forward(self, first: Tensor, second: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Make the middle frame (N, 3, H, W), not clipped, from two frames of any one size."""
        return self.synthesise(first, second, self.kernels(first, second, statistics))

    def prepare(self, first: Tensor, second: Tensor) -> MeasuredPair:
        """Measure the whole frames, of which the parts are made."""
        return MeasuredPair(first, second, pair_statistics(first[:, :3], second[:, :3]))

    def render_tile(self, prepared: MeasuredPair, rows: slice, columns: slice, t: float = 0.5) -> Tensor:
        """Make a rectangle of the middle frame with a margin around it, which begins where a stride does."""
        seen, own = self._spans(prepared, rows, columns)
        made: Tensor = self(prepared.first[seen], prepared.second[seen], prepared.statistics)
        return made[own]

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """See `Network`: the products of the columns and the rows, normalised if the network is."""
        kernels = self._kernels_of(self.prepare(first, second), slice(y, y + 1), slice(x, x + 1))
        down, right = (torch.stack(pair, dim=1)[..., 0, 0].float() for pair in (kernels[::2], kernels[1::2]))
        whole = torch.einsum("nfi,nfj->nfij", down, right)
        return whole / kernel_sum(kernels) if self.config.kernel_normalisation else whole

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; of every pixel."""
        prepared = self.prepare(first, second)
        result = first.new_empty(len(first), 2, *first.shape[2:])
        for rows, columns in tiles(first.shape[2], first.shape[3], self.tile, self.margin):
            kernels = self._kernels_of(prepared, rows, columns)
            down, right = (torch.stack(pair, dim=1).float() for pair in (kernels[::2], kernels[1::2]))
            result[..., rows, columns] = motion_between(_positive_sums(down, right), _positive_sums(right, down))
        return result

    def _kernels_of(self, prepared: MeasuredPair, rows: slice, columns: slice) -> SeparableKernels:
        """The kernels of a rectangle."""
        seen, own = self._spans(prepared, rows, columns)
        kernels = self.kernels(prepared.first[seen], prepared.second[seen], prepared.statistics)
        return SeparableKernels(*(kernel[own] for kernel in kernels))

    def _spans(self, prepared: MeasuredPair, rows: slice, columns: slice) -> tuple[Any, Any]:
        """What the network sees for a rectangle of the whole, and the rectangle within that."""
        spans = zip((rows, columns), prepared.first.shape[2:], strict=True)
        (seen_rows, own_rows), (seen_columns, own_columns) = (self._span(*span) for span in spans)
        return (..., seen_rows, seen_columns), (..., own_rows, own_columns)

    def _span(self, part: slice, extent: int) -> tuple[slice, slice]:
        """What the network sees of an axis for a part of it, and the part within that."""
        start = max(0, part.start - self.margin) // self.stride * self.stride
        return slice(start, min(part.stop + self.margin, extent)), slice(part.start - start, part.stop - start)

    def kernels(self, first: Tensor, second: Tensor, statistics: Statistics | None = None) -> SeparableKernels:
        """Predict the kernels of every pixel, 4 x (N, K, H, W).

        Args:
            first, second: frames (N, 3, H, W) in [0, 1], any size.
            statistics: of the whole frames where these are tiles of them; measured here if None.
        """
        height, width = first.shape[2:]
        margin = 0 if self.config.delayed_padding else self.config.taps // 2
        pair = torch.cat((first[:, :3], second[:, :3]), dim=1)  # (N, 6, H, W)
        if self.config.pair_normalisation:
            mean, deviation = statistics or pair_statistics(first[:, :3], second[:, :3])
            pair = (pair - mean) / deviation
        below, right = (-(size + 2 * margin) % self.stride for size in (height, width))
        pair = functional.pad(pair, (margin, margin + right, margin, margin + below), mode="replicate")
        pair = pair.to(next(self.parameters()).dtype)
        features = self._features(pair.contiguous(memory_format=torch.channels_last))
        inside = (..., slice(margin, margin + height), slice(margin, margin + width))
        return SeparableKernels(*(head(features)[inside] for head in self.heads))

    def synthesise(self, first: Tensor, second: Tensor, kernels: SeparableKernels) -> Tensor:
        """Filter both frames with their kernels and add (ICCV 2017, equation 2)."""
        reach = self.config.taps // 2
        # Not under autocast: the frames stay float32, only the kernels may be of lower precision.
        first, second = (functional.pad(frame, [reach] * 4, mode="replicate") for frame in (first, second))
        total = separable_convolution(first, kernels.first_vertical, kernels.first_horizontal)
        total = total + separable_convolution(second, kernels.second_vertical, kernels.second_horizontal)
        return total / kernel_sum(kernels) if self.config.kernel_normalisation else total

    def _features(self, pair: Tensor) -> Tensor:
        skips: list[Tensor] = []
        features = pair
        for block in self.encoder:
            skips.append(block(features))
            features = functional.avg_pool2d(skips[-1], kernel_size=2)
        for block, enlarge in zip(self.decoder, self.enlarge, strict=True):
            features = enlarge(block(features)) + skips.pop()
        return features  # (N, widths[1], H/2, W/2)

    def _initialise(self) -> None:
        """He's normal initialisation; the last layers start beside kernels that average both frames."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=self.config.slope)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.config.paper:
            return
        offsets = torch.arange(self.config.taps) - self.config.taps // 2
        bump = torch.exp(-(offsets**2) / 2.0)
        for head in self.heads:
            with torch.no_grad():
                head.last.weight.mul_(HEAD_GAIN / math.sqrt(self.config.taps))  # type: ignore[operator,union-attr]
                head.last.bias.copy_(bump / bump.sum() * math.sqrt(0.5))  # type: ignore[operator,union-attr]


def _positive_sums(along: Tensor, across: Tensor) -> Tensor:
    """The sums, across, of the positive weights of products of kernels (N, 2, K, H, W)."""
    parts = ((along.clamp(min=0), across.clamp(min=0)), (-along.clamp(max=0), -across.clamp(max=0)))
    return torch.stack([one * other.sum(2, keepdim=True) for one, other in parts]).sum(0)


def kernel_sum(kernels: SeparableKernels) -> Tensor:
    """What the kernels make of two images of ones, (N, 1, H, W): the divisor of kernel normalisation."""
    sums = [kernel.sum(dim=1, keepdim=True, dtype=torch.float32) for kernel in kernels]
    return (sums[0] * sums[1] + sums[2] * sums[3]).clamp(min=MIN_KERNEL_SUM)
