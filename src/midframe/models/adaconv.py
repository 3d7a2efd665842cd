"""AdaConv predicts a 2-D kernel for every pixel of the middle frame (Niklaus, Mai, Liu, CVPR 2017).

For each pixel the network reads the 79x79 patches of both frames around it and predicts a 41x41
kernel for each; a softmax normalises all their weights together. The pixel is the sum of the
co-centred 41x41 patches weighted by the kernels.

One patch per pixel costs 163 million multiply-adds. Neighbouring patches overlap almost completely,
so `forward` evaluates the layers for all pixels of a block at once, for 16 million. Each stride-2
convolution is applied at all four offsets; the results, *fragments*, are stacked in the batch and
interleaved at the end ("shift and stitch").
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from midframe.models.network import Network, motion_between, tiles
from midframe.models.winograd import WinogradConvolution
from midframe.ops import adaptive_convolution
from midframe.ops.accumulation import at_least_float32

PATCH = 79
"""Height and width of the input for one pixel (CVPR 2017, table 1)."""
MARGIN = PATCH // 2  # 39
"""Pixels of a patch on each side of its centre."""
STRIDE = 8
"""Product of three convolutions of stride 2: patches this far apart share their features."""
DEEP_LAYERS = 3
"""The last layers, with the most channels, are evaluated in chunks, to limit memory."""
DEEP_PIXELS = 4096
"""Pixels per chunk, at least one fragment: enough for matrix products at full speed."""
MOTION_ROWS = 8
"""Rows of kernels that are evaluated together."""
BLOCK_MARGIN = 77
"""Difference in size of the input of a block and the block: the patch without the pixel itself, and
without its last row and column, which the first stride-2 convolution ignores in its 73x73 input."""


@dataclass(frozen=True)
class AdaConvConfig:
    """Configuration of AdaConv. The defaults are the paper's."""

    taps: int = 41
    """Height and width of the kernel of one frame in pixels, odd (CVPR 2017, section 3)."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 2048)
    """Channels after the convolutions of 7x7, 5x5, 5x5, 3x3 and 4x4 (CVPR 2017, table 1)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.taps % 2 == 0 or not 1 <= self.taps <= PATCH:
            raise ValueError(f"taps is {self.taps}: give an odd number from 1 to {PATCH}")
        if len(self.widths) != 5 or min(self.widths) < 1:
            raise ValueError(f"widths are {self.widths}: give five positive numbers")


class PaddedPair(NamedTuple):
    """A pair of frames with reflected borders, so that every pixel has its patch."""

    pair: Tensor
    """Input of the network, (N, 6, H+2*39, W+2*39) and a few pixels more, in its dtype."""
    frames: Tensor
    """Frames that the kernels filter, (N, 2, 3, ...) of the same height and width, float32."""


def conv_block(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    """Create a convolution with batch normalisation and ReLU."""
    return [nn.Conv2d(inputs, outputs, size), nn.BatchNorm2d(outputs), nn.ReLU()]


def down_convolution(channels: int) -> list[nn.Module]:
    """Create the "down-conv" of table 1: 2x2, stride 2, with ReLU."""
    return [nn.Conv2d(channels, channels, 2, stride=2), nn.ReLU()]


class MatrixConvolution(nn.Conv2d):
    """Convolve by one matrix product, which is faster for many channels and few positions."""

    def forward(self, features: Tensor) -> Tensor:
        height = features.shape[2] - self.kernel_size[0] + 1
        width = features.shape[3] - self.kernel_size[1] + 1
        features = features.permute(0, 2, 3, 1)  # (N, H, W, C)
        places = product(range(self.kernel_size[0]), range(self.kernel_size[1]))
        patches = [features[:, y : y + height, x : x + width] for y, x in places]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # (outputs, K*K*C)
        return functional.linear(torch.cat(patches, dim=-1), weight, self.bias).permute(0, 3, 1, 2)


class AdaConv(Network):
    """Predict the middle of two frames (N, 3, H, W) in [0, 1] by 2-D kernels."""

    tile = 128
    approximate_inference = True

    def __init__(self, config: AdaConvConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AdaConvConfig()
        widths = config.widths
        self.layers = nn.Sequential(
            *conv_block(6, widths[0], 7), *down_convolution(widths[0]),
            *conv_block(widths[0], widths[1], 5), *down_convolution(widths[1]),
            *conv_block(widths[1], widths[2], 5), *down_convolution(widths[2]),
            *conv_block(widths[2], widths[3], 3),
            MatrixConvolution(widths[3], widths[4], 4), nn.ReLU(),
            MatrixConvolution(widths[4], 2 * config.taps**2, 1),
        )  # fmt: skip
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):  # CVPR 2017, section 3.4
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """Interpolate the middle frame (N, 3, H, W) in blocks, of two frames of any size."""
        self.check_time(t)
        prepared = self.prepare(first, second)
        result = torch.empty_like(first)
        for rows, columns in tiles(first.shape[2], first.shape[3], self.tile):
            result[..., rows, columns] = self.render_tile(prepared, rows, columns)
        return result

    def prepare(self, first: Tensor, second: Tensor) -> PaddedPair:
        """Reflect both frames at their borders, repeatedly if they are smaller than the border."""
        frames = at_least_float32(torch.stack((first, second), dim=1))  # (N, 2, 3, H, W)
        for axis in (3, 4):
            frames = frames.index_select(axis, reflect_indices(frames.shape[axis], frames.device))
        return PaddedPair(self._to_network_input(frames[:, :, :3]), frames)

    def render_tile(
        self, prepared: PaddedPair, rows: slice, columns: slice, t: Tensor | float = 0.5
    ) -> Tensor:
        """Interpolate a rectangle of the middle frame, (N, 3, h, w)."""
        self.check_time(t)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        padded_height = -(-height // STRIDE) * STRIDE  # multiples of the stride, for fragments
        padded_width = -(-width // STRIDE) * STRIDE
        area_rows = slice(rows.start, rows.start + padded_height + BLOCK_MARGIN)
        area_columns = slice(columns.start, columns.start + padded_width + BLOCK_MARGIN)
        pair = prepared.pair[..., area_rows, area_columns]
        frames = prepared.frames[..., area_rows, area_columns]
        result = frames.new_empty(len(frames), frames.shape[2], padded_height, padded_width)
        layers = list(self.layers)
        shallow = layers[:-DEEP_LAYERS]
        deep = nn.Sequential(*layers[-DEEP_LAYERS:])
        chunk = max(1, DEEP_PIXELS * STRIDE**2 // (padded_height * padded_width))  # fragments
        offsets = iter(fragment_offsets())
        for features in torch.split(fragments(shallow, pair), chunk * len(frames)):
            for logits in torch.split(self._logits(deep, features), len(frames)):
                top, left = next(offsets)
                kernels = self.softmax(logits)  # (N, 2, K, K, high/8, wide/8)
                pixels = self.filter_frames(frames[..., top:, left:], kernels)
                result[..., top::STRIDE, left::STRIDE] = pixels
        return result[..., :height, :width]

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the logits of the kernels, (N, h, w, 2*K*K): by frame, then row, then column."""
        if min(first.shape[2:]) < PATCH or first.shape != second.shape:
            raise ValueError(
                f"frames are {tuple(first.shape)} and {tuple(second.shape)}: give frames of one "
                f"shape (N, 3, H, W), {PATCH} pixels or more on each side"
            )
        return self._logits(
            self.layers, self._to_network_input(torch.stack((first, second), dim=1))
        )

    def kernels(self, first: Tensor, second: Tensor) -> Tensor:
        """Predict the kernels of every eighth pixel, from (39, 39) on, as in the paper.

        Args:
            first, second: frames (N, 3, H, W) in [0, 1], 79 pixels or more on a side.

        Returns:
            (N, 2, K, K, h, w), each pixel's weights sum to 1. Of 79x79 frames h and w are 1.
        """
        return self.softmax(self.logits(first, second))

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """Predict the kernels (N, 2, K, K) of one pixel of frames of any size."""
        pair, _ = self.prepare(first, second)
        patch = pair[..., y : y + PATCH, x : x + PATCH]
        return self.softmax(self._logits(self.layers, patch))[..., 0, 0]

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; for every eighth pixel along each axis, from (0, 0) on."""
        pair, _ = self.prepare(first, second)
        height, width = -(-first.shape[2] // STRIDE), -(-first.shape[3] // STRIDE)
        rows = []
        for top in range(0, height, MOTION_ROWS):
            bottom = (min(top + MOTION_ROWS, height) - 1) * STRIDE + PATCH
            right = (width - 1) * STRIDE + PATCH
            area = pair[..., top * STRIDE : bottom, :right]
            kernels = self.softmax(self._logits(self.layers, area))
            rows.append(motion_between(kernels.sum(3), kernels.sum(2)))
        return torch.cat(rows, dim=2)

    def softmax(self, logits: Tensor) -> Tensor:
        """Return kernels (N, 2, K, K, H, W) of logits (N, H, W, 2*K*K); taps are innermost."""
        weights = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        taps = self.config.taps
        return weights.view(*weights.shape[:3], 2, taps, taps).permute(0, 3, 4, 5, 1, 2)

    def filter_frames(self, frames: Tensor, kernels: Tensor) -> Tensor:
        """Filter frames (N, 2, C, ...) with one kernel per stride: (N, C, H, W)."""
        start = MARGIN - self.config.taps // 2  # pixels of the patch beyond the kernel
        bottom = start + (kernels.shape[4] - 1) * STRIDE + self.config.taps
        right = start + (kernels.shape[5] - 1) * STRIDE + self.config.taps
        return adaptive_convolution(frames[..., start:bottom, start:right], kernels, stride=STRIDE)

    def for_inference(self, precision: torch.dtype = torch.float32) -> "AdaConv":
        """Return a copy with batch normalisation folded into the convolutions before it.

        In float32 the 4x4 convolution, half of all multiply-adds, is a Winograd convolution with a
        fifth of them.
        """
        copied = super().for_inference()
        assert isinstance(copied, AdaConv)
        layers = copied.layers
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                before = layers[index - 1]
                assert isinstance(before, nn.Conv2d)
                layers[index - 1] = fuse_conv_bn_eval(before, layer)
                layers[index] = nn.Identity()
            elif precision == torch.float32 and getattr(layer, "kernel_size", None) == (4, 4):
                assert isinstance(layer, nn.Conv2d)
                layers[index] = WinogradConvolution(layer)
        return copied.to(precision)

    def _to_network_input(self, frames: Tensor) -> Tensor:
        """Convert frames (N, 2, 3, H, W) to the input of the layers, (N, 6, H, W)."""
        pair = frames.flatten(1, 2).to(next(self.parameters()).dtype)
        return pair.contiguous(memory_format=torch.channels_last)

    def _logits(self, layers: nn.Module, features: Tensor) -> Tensor:
        """Return the logits of the kernels, (N, H, W, 2*K*K)."""
        logits: Tensor = layers(features)
        return logits.permute(0, 2, 3, 1)


def reflect_indices(size: int, device: torch.device) -> Tensor:
    """Return the source index of each position of a row with reflected borders.

    The outermost pixel is not repeated. The border at the end is longer by a stride, for blocks
    whose size is rounded up.
    """
    period = max(1, 2 * (size - 1))
    places = torch.arange(-MARGIN, size + MARGIN + STRIDE, device=device) % period
    return torch.minimum(places, period - places)


def fragments(layers: list[nn.Module], pair: Tensor) -> Tensor:
    """Evaluate layers for all pixels of a block.

    Args:
        layers: layers of AdaConv, from the first on.
        pair: (N, 6, H+77, W+77), where H and W are multiples of 8.

    Returns:
        (64N, C, H/8, W/8): for each of `fragment_offsets`, the output for the pixels at this offset
        in squares of 8x8. Without the last layers, (64N, C, h, w): their input.
    """
    features = pair
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            height, width = features.shape[2] // 2 * 2, features.shape[3] // 2 * 2
            offsets = product((0, 1), repeat=2)
            shifted = [features[:, :, y : y + height, x : x + width] for y, x in offsets]
            features = torch.cat([layer(each) for each in shifted])
        else:
            features = layer(features)
    return features


def fragment_offsets() -> list[tuple[int, int]]:
    """Return the offset in 8x8 pixels, y and x, of each fragment; last stride outermost."""
    halves = list(product((0, 1), repeat=2))
    return [
        (4 * last[0] + 2 * middle[0] + first[0], 4 * last[1] + 2 * middle[1] + first[1])
        for last, middle, first in product(halves, repeat=3)
    ]
