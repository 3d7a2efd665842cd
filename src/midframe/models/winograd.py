"""Convolutions for inference that take few products (`midframe.ops.winograd`)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.ops.dispatch import forward_module
from midframe.ops.winograd import TILE, kernel_values, transforms

MIN_CHANNELS = 16
"""Fewer inputs the pipeline does not take, and fewer outputs leave its registers half empty."""


class WinogradConvolution(nn.Module):
    """A convolution of stride 1 without padding, of a square kernel of up to 4x4, in PyTorch.

    It holds the kernel's values beside the kernel, three times its size, and differs from the plain convolution by some
    1e-5 of the largest output: too much for types of fewer digits.

    Args:
        layer: the plain convolution, which goes on to make what is smaller than a tile.
    """

    values: Tensor
    from_features: Tensor
    to_outputs: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        _, from_features, to_outputs = transforms(layer.kernel_size[0])
        self.register_buffer("values", kernel_values(layer.weight))  # (P*P, inputs, outputs)
        self.register_buffer("from_features", torch.kron(from_features, from_features).float())  # (P*P, P*P)
        self.register_buffer("to_outputs", torch.kron(to_outputs, to_outputs).float())  # (TILE*TILE, P*P)

    def forward(self, features: Tensor) -> Tensor:
        size = self.layer.kernel_size[0]
        height, width = (extent - size + 1 for extent in features.shape[2:])
        down, across = (-(-extent // TILE) for extent in (height, width))
        if height * width * size**2 < down * across * len(self.values):
            return self.layer(features)  # type: ignore[no-any-return]
        padded = functional.pad(features, (0, across * TILE - width, 0, down * TILE - height))
        span = TILE + size - 1
        tiles = padded.permute(0, 2, 3, 1).unfold(1, span, TILE).unfold(2, span, TILE)  # (N, down, across, C, P, P)
        values = self.from_features @ tiles.permute(4, 5, 0, 1, 2, 3).reshape(span**2, -1)  # (P*P, tiles*C)
        products = torch.bmm(values.view(span**2, -1, features.shape[1]), self.values)  # (P*P, tiles, outputs)
        made = (self.to_outputs @ products.flatten(1)).view(TILE, TILE, len(features), down, across, -1)
        made = made.permute(2, 3, 0, 4, 1, 5).reshape(len(features), down * TILE, across * TILE, -1)
        if self.layer.bias is not None:
            made += self.layer.bias
        return made[:, :height, :width].permute(0, 3, 1, 2)


class ConvActivation(nn.Module):
    """A 3x3 convolution with zeros around, and the bend after it: in Halide where that serves, otherwise in PyTorch.

    In float32 it differs from the plain convolution by some 1e-5 of the largest output, in bfloat16 by a fortieth of a
    usual one: eight times as much as that type's rounding, and no frame is the worse for it (docs/architecture.md).

    Args:
        layer: the plain convolution.
        slope: what negative outputs are multiplied by; 0 is ReLU, 1 no bend.
    """

    def __init__(self, layer: nn.Conv2d, slope: float = 1.0) -> None:
        super().__init__()
        self.layer, self.slope = layer, slope
        self.prepared: tuple[Any, ...] | None = None  # four times the kernel, where it is needed at all

    def forward(self, features: Tensor) -> Tensor:
        fast = forward_module("convolution_cpu", features)
        if fast is None:
            plain: Tensor = self.layer(features)
            return plain if self.slope == 1 else functional.leaky_relu(plain, self.slope)
        if self.prepared is None:
            self.prepared = fast.prepared(self.layer.weight, self.layer.bias)
        result: Tensor = fast.convolved(features, *self.prepared, self.layer.out_channels, self.slope)
        return result


def use_winograd(network: nn.Module) -> None:
    """Have a network's 3x3 convolutions of enough channels, and the bends after them, done by few products."""
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d) and _fits(child):
            setattr(network, name, ConvActivation(child))
        else:
            use_winograd(child)
    if isinstance(network, nn.Sequential):
        for index in range(len(network) - 1):
            convolution, activation = network[index], network[index + 1]
            if isinstance(convolution, ConvActivation) and isinstance(activation, nn.ReLU | nn.LeakyReLU):
                convolution.slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
                network[index + 1] = nn.Identity()


def _fits(layer: nn.Conv2d) -> bool:
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, device="meta")
    same = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS and all(
        getattr(layer, name) == getattr(plain, name) for name in same
    )
