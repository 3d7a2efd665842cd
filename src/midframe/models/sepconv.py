"""SepConv predicts separable kernels for every pixel of two frames (Niklaus, Mai, Liu, ICCV 2017).

An encoder-decoder reads both frames; four sub-networks predict a vertical and a horizontal kernel
for each frame; the middle frame is the sum of both frames filtered with their kernels. Options add
later improvements by the authors (arXiv 2011.01280, "Revisiting Adaptive Convolutions for Video
Frame Interpolation").
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
"""Lower limit of the divisor in kernel normalisation, for stability early in training."""
HEAD_GAIN = 0.1
"""Scale of the last convolution's initial weights: the initial output is close to the mean of both
frames."""


@dataclass(frozen=True)
class SepConvConfig:
    """Configuration of SepConv. The defaults are the paper's sizes with the later improvements."""

    taps: int = 51
    """Length of the one-dimensional kernels in pixels, odd (ICCV 2017, section 3)."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Channels of the encoder per resolution, full resolution first (ICCV 2017, figure 2)."""
    delayed_padding: bool = True
    """Pad only the frames that the kernels filter, not the network's input (arXiv 2011.01280,
    "delayed padding")."""
    pair_normalisation: bool = True
    """Normalise the input by the joint mean and standard deviation of both frames (ibid., "input
    normalization")."""
    kernel_normalisation: bool = True
    """Divide the output by the kernels' response to an image of ones (ibid., "kernel
    normalization")."""
    slope: float = 0.0
    """Negative slope of leaky ReLU, which avoids dead ReLUs (ibid.: PReLU); 0: ReLU."""
    paper: bool = False
    """Use the architecture of ICCV 2017: disables the options above, from delayed padding on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.taps % 2 == 0 or not 1 <= self.taps <= 63:
            raise ValueError(f"taps is {self.taps}: give an odd number from 1 to 63")
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths are {self.widths}: give two or more positive numbers")
        if self.paper:
            for switch in ("delayed_padding", "pair_normalisation", "kernel_normalisation"):
                object.__setattr__(self, switch, False)
            object.__setattr__(self, "slope", 0.0)


class SeparableKernels(NamedTuple):
    """Vertical and horizontal kernels of all pixels for each frame, each (N, K, H, W)."""

    first_vertical: Tensor
    first_horizontal: Tensor
    second_vertical: Tensor
    second_horizontal: Tensor


class MeasuredPair(NamedTuple):
    """A pair of frames (N, 3, H, W) and their statistics."""

    first: Tensor
    second: Tensor
    statistics: Statistics


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def activation(slope: float) -> nn.Module:
    """Create a ReLU, leaky if the slope is not 0."""
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


class Block(nn.Sequential):
    """Apply three convolutions, each with ReLU (ICCV 2017, figure 2)."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs, outputs):
            layers += [convolution(channels, outputs), activation(slope)]
        super().__init__(*layers)


class Upsample(nn.Module):
    """Upsample bilinearly, then convolve: no checkerboard artefacts (ICCV 2017, section 3.1)."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.smooth = convolution(channels, channels)
        self.activation = activation(slope)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.activation(self.smooth(upsample(features, 2)))
        return result


class KernelHead(nn.Module):
    """Predict one kernel per pixel from features at half resolution (ICCV 2017, figure 2)."""

    def __init__(self, channels: int, taps: int, slope: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels), activation(slope),
            convolution(channels, channels), activation(slope),
            convolution(channels, taps), activation(slope),
        )  # fmt: skip
        self.last = convolution(taps, taps)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.last(upsample(self.body(features), 2))
        return result


class SepConv(Network):
    """Predict the middle of two frames (N, 3, H, W) in [0, 1] by separable kernels."""

    tile = 768
    approximate_inference = True

    def __init__(self, config: SepConvConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SepConvConfig()
        widths = config.widths
        slope = config.slope
        self.encoder = nn.ModuleList(map(Block, (6, *widths[:-1]), widths, repeat(slope)))
        deep_to_shallow = widths[:0:-1]  # 512, 256, 128, 64
        inputs = (widths[-1], *deep_to_shallow[:-1])
        self.decoder = nn.ModuleList(map(Block, inputs, deep_to_shallow, repeat(slope)))
        self.enlarge = nn.ModuleList(map(Upsample, deep_to_shallow, repeat(slope)))
        self.heads = nn.ModuleList(KernelHead(widths[1], config.taps, slope) for _ in range(4))
        self._initialise()

    @property
    def stride(self) -> int:
        """Return the multiple that height and width are padded to."""
        return 1 << len(self.config.widths)

    @property
    def margin(self) -> int:
        """Return the pixels around a tile that affect its result noticeably."""
        return 3 * self.stride

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """Interpolate the middle of two frames (N, 3, H, W) of any size, without clipping."""
        self.check_time(t)
        return self.synthesise(first, second, self.kernels(first, second))

    def prepare(self, first: Tensor, second: Tensor) -> MeasuredPair:
        """Compute the statistics of whole frames, which their tiles share."""
        return MeasuredPair(first, second, pair_statistics(first[:, :3], second[:, :3]))

    def render_tile(
        self, prepared: MeasuredPair, rows: slice, columns: slice, t: Tensor | float = 0.5
    ) -> Tensor:
        """Interpolate a rectangle of the middle frame, with a margin aligned to the stride."""
        self.check_time(t)
        area, inner = self._spans(prepared, rows, columns)
        first, second = prepared.first[area], prepared.second[area]
        kernels = self.kernels(first, second, prepared.statistics)
        return self.synthesise(first, second, kernels)[inner]

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """See `Network`: outer products of the 1-D kernels, with kernel normalisation if used."""
        kernels = self._kernels_of(self.prepare(first, second), slice(y, y + 1), slice(x, x + 1))
        down = torch.stack(kernels[::2], dim=1)[..., 0, 0].float()  # (N, 2, K)
        right = torch.stack(kernels[1::2], dim=1)[..., 0, 0].float()
        whole = torch.einsum("nfi,nfj->nfij", down, right)
        return whole / kernel_sum(kernels) if self.config.kernel_normalisation else whole

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; for every pixel."""
        prepared = self.prepare(first, second)
        result = first.new_empty(len(first), 2, *first.shape[2:])
        for rows, columns in tiles(first.shape[2], first.shape[3], self.tile, self.margin):
            kernels = self._kernels_of(prepared, rows, columns)
            down = torch.stack(kernels[::2], dim=1).float()  # (N, 2, K, h, w)
            right = torch.stack(kernels[1::2], dim=1).float()
            motion = motion_between(_positive_sums(down, right), _positive_sums(right, down))
            result[..., rows, columns] = motion
        return result

    def _kernels_of(self, prepared: MeasuredPair, rows: slice, columns: slice) -> SeparableKernels:
        """Predict the kernels of a rectangle."""
        area, inner = self._spans(prepared, rows, columns)
        first, second = prepared.first[area], prepared.second[area]
        kernels = self.kernels(first, second, prepared.statistics)
        return SeparableKernels(*(kernel[inner] for kernel in kernels))

    def _spans(self, prepared: MeasuredPair, rows: slice, columns: slice) -> tuple[Any, Any]:
        """Return the input area for a rectangle of the frame, and the rectangle within it."""
        height, width = prepared.first.shape[2:]
        area_rows, inner_rows = self._span(rows, height)
        area_columns, inner_columns = self._span(columns, width)
        return (..., area_rows, area_columns), (..., inner_rows, inner_columns)

    def _span(self, inner: slice, extent: int) -> tuple[slice, slice]:
        """Return the input range along an axis for a range, and the range within that."""
        start = max(0, inner.start - self.margin) // self.stride * self.stride
        stop = min(inner.stop + self.margin, extent)
        return slice(start, stop), slice(inner.start - start, inner.stop - start)

    def kernels(
        self,
        first: Tensor,
        second: Tensor,
        statistics: Statistics | None = None,
    ) -> SeparableKernels:
        """Predict the kernels of all pixels, 4 x (N, K, H, W).

        Args:
            first, second: frames (N, 3, H, W) in [0, 1], any size.
            statistics: of the whole frames if these are tiles of them; None: computed here.
        """
        height, width = first.shape[2:]
        margin = 0 if self.config.delayed_padding else self.config.taps // 2
        pair = torch.cat((first[:, :3], second[:, :3]), dim=1)  # (N, 6, H, W)
        if self.config.pair_normalisation:
            mean, deviation = statistics or pair_statistics(first[:, :3], second[:, :3])
            pair = (pair - mean) / deviation
        below = -(height + 2 * margin) % self.stride
        right = -(width + 2 * margin) % self.stride
        borders = (margin, margin + right, margin, margin + below)
        pair = functional.pad(pair, borders, mode="replicate")
        pair = pair.to(next(self.parameters()).dtype)
        features = self._features(pair.contiguous(memory_format=torch.channels_last))
        inside = (..., slice(margin, margin + height), slice(margin, margin + width))
        return SeparableKernels(*(head(features)[inside] for head in self.heads))

    def synthesise(self, first: Tensor, second: Tensor, kernels: SeparableKernels) -> Tensor:
        """Filter both frames with their kernels and add (ICCV 2017, equation 2)."""
        reach = self.config.taps // 2
        # The frames stay float32; only the kernels may have a lower precision.
        first = functional.pad(first, [reach] * 4, mode="replicate")
        second = functional.pad(second, [reach] * 4, mode="replicate")
        from_first = separable_convolution(first, kernels.first_vertical, kernels.first_horizontal)
        from_second = separable_convolution(
            second,
            kernels.second_vertical,
            kernels.second_horizontal,
        )
        total = from_first + from_second
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
        """Apply He initialisation; the last layers start near kernels that average both frames."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=self.config.slope)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        offsets = torch.arange(self.config.taps) - self.config.taps // 2
        bump = torch.exp(-(offsets**2) / 2.0)
        for head in self.heads:
            with torch.no_grad():
                head.last.weight.mul_(HEAD_GAIN / math.sqrt(self.config.taps))  # type: ignore[operator,union-attr]
                head.last.bias.copy_(bump / bump.sum() * math.sqrt(0.5))  # type: ignore[operator,union-attr]


def _positive_sums(along: Tensor, across: Tensor) -> Tensor:
    """Sum the positive weights of outer products of kernels over the second, (N, 2, K, H, W)."""
    positive = along.clamp(min=0) * across.clamp(min=0).sum(2, keepdim=True)
    negative = -along.clamp(max=0) * -across.clamp(max=0).sum(2, keepdim=True)
    return positive + negative


def kernel_sum(kernels: SeparableKernels) -> Tensor:
    """Return the response to images of ones, (N, 1, H, W), for kernel normalisation."""
    dtype = torch.promote_types(kernels[0].dtype, torch.float32)
    sums = [kernel.sum(dim=1, keepdim=True, dtype=dtype) for kernel in kernels]
    return (sums[0] * sums[1] + sums[2] * sums[3]).clamp(min=MIN_KERNEL_SUM)
