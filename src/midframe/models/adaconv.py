"""AdaConv: a network that writes one large kernel for every pixel of the middle frame (Niklaus, Mai, Liu, CVPR 2017).

For each pixel it reads a 79x79 patch of both frames around it and writes a 41x41 kernel for each of them, all of whose
weights together are a softmax. The pixel is what the kernels make of the two co-centred 41x41 patches.

A patch a pixel costs 163 million multiply-adds. Neighbours share nearly all of their patches, so `forward` evaluates
the layers for every pixel of a block at once, for 16 million. Each stride-2 convolution is done from all four places
that it can begin at; the results, *fragments*, go on side by side in the batch and meet again at the end ("shift and
stitch").
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

PATCH = 79
"""Height and width of what the network reads for one pixel (CVPR 2017, table 1)."""
MARGIN = PATCH // 2  # 39
"""Pixels that a patch reaches beyond its centre."""
STRIDE = 8
"""Three convolutions of stride 2: patches this far apart share their features."""
DEEP_LAYERS = 3
"""The last layers, with the most channels, are evaluated for some pixels at a time, which keeps memory small."""
DEEP_PIXELS = 4096
"""For so many, if that is a fragment or more: enough for products of matrices to run at full speed."""
MOTION_ROWS = 8
"""Rows of kernels that are looked at together."""
REACH = 77
"""How much larger the input of a block is than the block: the patch less the pixel itself, and less its last row and
column, which the first convolution of stride 2 leaves out of its 73x73 input."""


@dataclass(frozen=True)
class AdaConvConfig:
    """The form of the network. The defaults are the paper's."""

    taps: int = 41
    """Height and width of the kernel of one frame in pixels, odd (CVPR 2017, section 3)."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 2048)
    """Channels after the convolutions of 7x7, 5x5, 5x5, 3x3 and 4x4 (CVPR 2017, table 1)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.taps % 2 == 0 or not 1 <= self.taps <= PATCH:
            raise ValueError(f"taps is {self.taps}: an odd number from 1 to {PATCH} is needed")
        if len(self.widths) != 5 or min(self.widths) < 1:
            raise ValueError(f"widths are {self.widths}: five positive numbers are needed")


class PaddedPair(NamedTuple):
    """A pair of frames with borders, so that every pixel has its patch."""

    pair: Tensor
    """What the network reads, (N, 6, H+2*39, W+2*39) and a little more, in its type."""
    frames: Tensor
    """What the kernels filter, (N, 2, 3, ...) of the same height and width, float32."""


def normalised(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    """A convolution with batch normalisation and ReLU."""
    return [nn.Conv2d(inputs, outputs, size), nn.BatchNorm2d(outputs), nn.ReLU()]


def halving(channels: int) -> list[nn.Module]:
    """The "down-conv" of table 1: 2x2, stride 2, with ReLU."""
    return [nn.Conv2d(channels, channels, 2, stride=2), nn.ReLU()]


class MatrixConvolution(nn.Conv2d):
    """A convolution by one product of matrices, faster than the usual way where channels are many and places few."""

    def forward(self, features: Tensor) -> Tensor:
        height, width = (size - self.kernel_size[0] + 1 for size in features.shape[2:])
        features = features.permute(0, 2, 3, 1)  # (N, H, W, C)
        places = product(range(self.kernel_size[0]), range(self.kernel_size[1]))
        patches = [features[:, y : y + height, x : x + width] for y, x in places]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # (outputs, K*K*C)
        return functional.linear(torch.cat(patches, dim=-1), weight, self.bias).permute(0, 3, 1, 2)


class AdaConv(Network):
    """The whole network; see the module's text. Frames are (N, 3, H, W) in [0, 1]."""

    tile = 128

    def __init__(self, config: AdaConvConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AdaConvConfig()
        one, two, three, four, deep = config.widths
        self.layers = nn.Sequential(
            *normalised(6, one, 7), *halving(one), *normalised(one, two, 5), *halving(two),
            *normalised(two, three, 5), *halving(three), *normalised(three, four, 3),
            MatrixConvolution(four, deep, 4), nn.ReLU(), MatrixConvolution(deep, 2 * config.taps**2, 1),
        )  # fmt: skip
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):  # CVPR 2017, section 3.4
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Make the middle frame (N, 3, H, W), a block at a time, from two frames of any one size."""
        prepared = self.prepare(first, second)
        result = torch.empty_like(first)
        for rows, columns in tiles(first.shape[2], first.shape[3], self.tile):
            result[..., rows, columns] = self.render_tile(prepared, rows, columns)
        return result

    def prepare(self, first: Tensor, second: Tensor) -> PaddedPair:
        """Reflect both frames at their borders. Frames smaller than the border are reflected again and again."""
        frames = torch.stack((first, second), dim=1).float()  # (N, 2, 3, H, W)
        for axis in (3, 4):
            frames = frames.index_select(axis, reflected(frames.shape[axis], frames.device))
        return PaddedPair(self._readable(frames[:, :, :3]), frames)

    def render_tile(self, prepared: PaddedPair, rows: slice, columns: slice, t: float = 0.5) -> Tensor:
        """Make a rectangle of the middle frame, (N, 3, h, w)."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        high, wide = (-(-size // STRIDE) * STRIDE for size in (height, width))  # as fragments need it
        seen = (..., slice(rows.start, rows.start + high + REACH), slice(columns.start, columns.start + wide + REACH))
        pair, frames = prepared.pair[seen], prepared.frames[seen]
        made = frames.new_empty(len(frames), frames.shape[2], high, wide)
        shallow, deep = list(self.layers)[:-DEEP_LAYERS], nn.Sequential(*list(self.layers)[-DEEP_LAYERS:])
        together = max(1, DEEP_PIXELS * STRIDE**2 // (high * wide))  # fragments
        offsets = iter(fragment_offsets())
        for features in torch.split(fragments(shallow, pair), together * len(frames)):
            for scores in torch.split(self._scores(deep, features), len(frames)):
                top, left = next(offsets)
                kernels = self.softmax(scores)  # (N, 2, K, K, high/8, wide/8)
                made[..., top::STRIDE, left::STRIDE] = self.filtered(frames[..., top:, left:], kernels)
        return made[..., :height, :width]

    def scores(self, first: Tensor, second: Tensor) -> Tensor:
        """What the softmax of `kernels` is taken of, (N, h, w, 2*K*K): first frame first, then rows, then columns."""
        if min(first.shape[2:]) < PATCH or first.shape != second.shape:
            given = f"{tuple(first.shape)} and {tuple(second.shape)}"
            raise ValueError(f"frames of one shape (N, 3, H, W), {PATCH} pixels or more, are needed, got {given}")
        return self._scores(self.layers, self._readable(torch.stack((first, second), dim=1)))

    def kernels(self, first: Tensor, second: Tensor) -> Tensor:
        """Predict the kernels of every eighth pixel, from (39, 39) on: patch by patch, as the paper has it.

        Args:
            first, second: frames (N, 3, H, W) in [0, 1], 79 pixels or more on a side.

        Returns:
            (N, 2, K, K, h, w), each pixel's weights sum to 1. Of 79x79 frames h and w are 1.
        """
        return self.softmax(self.scores(first, second))

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """The kernels (N, 2, K, K) of one pixel of frames of any size."""
        pair, _ = self.prepare(first, second)
        return self.softmax(self._scores(self.layers, pair[..., y : y + PATCH, x : x + PATCH]))[..., 0, 0]

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; of every eighth pixel in each direction, from (0, 0) on."""
        pair, _ = self.prepare(first, second)
        height, width = (-(-size // STRIDE) for size in first.shape[2:])
        rows = []
        for top in range(0, height, MOTION_ROWS):
            seen = pair[..., top * STRIDE : (min(top + MOTION_ROWS, height) - 1) * STRIDE + PATCH, :]
            kernels = self.softmax(self._scores(self.layers, seen[..., : (width - 1) * STRIDE + PATCH]))
            rows.append(motion_between(kernels.sum(3), kernels.sum(2)))
        return torch.cat(rows, dim=2)

    def softmax(self, scores: Tensor) -> Tensor:
        """Kernels (N, 2, K, K, H, W), taps innermost in memory, of scores (N, H, W, 2*K*K)."""
        weights = scores.softmax(-1, dtype=torch.float32)
        taps = self.config.taps
        return weights.view(*weights.shape[:3], 2, taps, taps).permute(0, 3, 4, 5, 1, 2)

    def filtered(self, frames: Tensor, kernels: Tensor) -> Tensor:
        """Filter frames (N, 2, C, ...) whose first patch begins at their corner: (N, C, H, W), a stride apart."""
        unused = MARGIN - self.config.taps // 2  # what the patch has beyond the kernel's reach
        high, wide = (unused + (size - 1) * STRIDE + self.config.taps for size in kernels.shape[4:])
        return adaptive_convolution(frames[..., unused:high, unused:wide], kernels, stride=STRIDE)

    def for_inference(self, precision: torch.dtype = torch.float32) -> "AdaConv":
        """A copy whose batch normalisation is folded into the convolutions before it.

        In float32 the 4x4 convolution, half of all multiply-adds, is done by a fifth of them.
        """
        copied = super().for_inference()
        assert isinstance(copied, AdaConv)
        layers = copied.layers
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                before = layers[index - 1]
                assert isinstance(before, nn.Conv2d)
                layers[index - 1], layers[index] = fuse_conv_bn_eval(before, layer), nn.Identity()
            elif precision == torch.float32 and isinstance(layer, nn.Conv2d) and layer.kernel_size == (4, 4):
                layers[index] = WinogradConvolution(layer)
        return copied.to(precision)

    def _readable(self, frames: Tensor) -> Tensor:
        """(N, 2, 3, H, W) as the layers read it."""
        pair = frames.flatten(1, 2).to(next(self.parameters()).dtype)
        return pair.contiguous(memory_format=torch.channels_last)

    def _scores(self, layers: nn.Module, features: Tensor) -> Tensor:
        """What the softmax of the kernels is taken of, (N, H, W, 2*K*K)."""
        scores: Tensor = layers(features)
        return scores.permute(0, 2, 3, 1)


def reflected(size: int, device: torch.device) -> Tensor:
    """Which of `size` places is seen at each place of a row with borders: mirrored, the outermost not repeated.

    The second border goes on so far that blocks of whole strides find all they read.
    """
    period = max(1, 2 * (size - 1))
    places = torch.arange(-MARGIN, size + MARGIN + STRIDE, device=device) % period
    return torch.minimum(places, period - places)


def fragments(layers: list[nn.Module], pair: Tensor) -> Tensor:
    """Evaluate layers for every pixel of a block.

    Args:
        layers: of AdaConv, from the first on.
        pair: (N, 6, H+77, W+77), where H and W are multiples of 8.

    Returns:
        (64N, C, H/8, W/8): for each of `fragment_offsets` the output of the pixels that lie there in 8x8. Of layers
        before the last (64N, C, h, w), where h and w are what these go on to read.
    """
    features = pair
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            high, wide = (size // 2 * 2 for size in features.shape[2:])
            starts = [features[:, :, top : top + high, left : left + wide] for top in (0, 1) for left in (0, 1)]
            features = torch.cat([layer(start) for start in starts])
        else:
            features = layer(features)
    return features


def fragment_offsets() -> list[tuple[int, int]]:
    """The place within 8x8 pixels, y and x, of each fragment: the last layer of stride 2 is outermost."""
    halves = list(product((0, 1), repeat=2))
    return [
        (4 * last[0] + 2 * middle[0] + first[0], 4 * last[1] + 2 * middle[1] + first[1])
        for last, middle, first in product(halves, repeat=3)
    ]
