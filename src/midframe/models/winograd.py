"""Winograd convolutions for inference (`midframe.ops.winograd`)."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.ops.dispatch import for_device
from midframe.ops.winograd import TILE, kernel_values, transforms

MIN_CHANNELS = 16
"""Minimum number of channels: the pipeline does not support fewer inputs, and fewer outputs do not
fill its registers."""


class WinogradConvolution(nn.Module):
    """A convolution with stride 1, without padding, with a square kernel of up to 4x4, in PyTorch.

    It stores the transformed kernel besides the kernel, three times its size, and differs from the
    plain convolution by about 1e-5 of the largest output: too much for types of lower precision.

    Args:
        layer: the plain convolution, also used for inputs smaller than a tile.
    """

    values: Tensor
    from_features: Tensor
    to_outputs: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        _, from_features, to_outputs = transforms(layer.kernel_size[0])
        self.register_buffer("values", kernel_values(layer.weight))  # (P*P, inputs, outputs)
        self.register_buffer(
            "from_features", torch.kron(from_features, from_features).float()
        )  # (P*P, P*P)
        self.register_buffer(
            "to_outputs", torch.kron(to_outputs, to_outputs).float()
        )  # (TILE*TILE, P*P)

    def forward(self, features: Tensor) -> Tensor:
        size = self.layer.kernel_size[0]
        height, width = (extent - size + 1 for extent in features.shape[2:])
        down, across = (-(-extent // TILE) for extent in (height, width))
        if height * width * size**2 < down * across * len(self.values):
            return self.layer(features)  # type: ignore[no-any-return]
        padded = functional.pad(features, (0, across * TILE - width, 0, down * TILE - height))
        span = TILE + size - 1
        tiles = (
            padded.permute(0, 2, 3, 1).unfold(1, span, TILE).unfold(2, span, TILE)
        )  # (N, down, across, C, P, P)
        values = self.from_features @ tiles.permute(4, 5, 0, 1, 2, 3).reshape(
            span**2, -1
        )  # (P*P, tiles*C)
        products = torch.bmm(
            values.view(span**2, -1, features.shape[1]), self.values
        )  # (P*P, tiles, outputs)
        outputs = (self.to_outputs @ products.flatten(1)).view(
            TILE, TILE, len(features), down, across, -1
        )
        outputs = outputs.permute(2, 3, 0, 4, 1, 5).reshape(
            len(features), down * TILE, across * TILE, -1
        )
        if self.layer.bias is not None:
            outputs += self.layer.bias
        return outputs[:, :height, :width].permute(0, 3, 1, 2)


class Implementation(Protocol):
    """A module that computes 3x3 Winograd convolutions."""

    def supports(self, features: Tensor, /) -> bool:
        """Return whether it supports such features."""

    def prepare_kernels(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the kernels and the bias as `convolve` takes them."""

    def convolve(
        self, features: Tensor, values: Tensor, bias: Tensor, outputs: int, slope: float
    ) -> Tensor:
        """Convolve with zero padding, add the bias, multiply negative sums by a slope."""


class WinogradConvActivation(nn.Module):
    """A 3x3 convolution with zero padding, and the activation after it.

    Inference on the CPU uses a Winograd convolution in Halide where that is faster than PyTorch's:
    not in bfloat16 on a processor with AMX. In float32 it differs from the plain convolution by
    about 1e-5 of the largest output, in bfloat16 by a fortieth of a typical output: eight times
    that type's rounding, without an effect on scores (docs/notebook/speed.md).

    Args:
        layer: the plain convolution.
        slope: factor of negative outputs; 0 is ReLU, 1 no activation.
    """

    def __init__(self, layer: nn.Conv2d, slope: float = 1.0) -> None:
        super().__init__()
        self.layer = layer
        self.slope = slope
        self.prepared: tuple[Tensor, Tensor] | None = None
        """Kernels and bias for Halide, four times the size of the kernel; computed when first
        needed."""

    def forward(self, features: Tensor) -> Tensor:
        fast = _implementation(features)
        if fast is None:
            plain: Tensor = self.layer(features)
            return plain if self.slope == 1 else functional.leaky_relu_(plain, self.slope)
        if self.prepared is None:
            self.prepared = fast.prepare_kernels(self.layer.weight, self.layer.bias)
        values, bias = self.prepared
        return fast.convolve(features, values, bias, self.layer.out_channels, self.slope)


def load_halide() -> Implementation:
    """Import the CPU implementation."""
    import midframe.ops.winograd.halide as halide

    return halide


def _implementation(features: Tensor) -> Implementation | None:
    """Return the implementation for features; None if gradients are needed or PyTorch is faster."""
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        return None
    fast = for_device({"cpu": load_halide}, features.device)
    return fast if fast is not None and fast.supports(features) else None


def use_winograd(network: nn.Module) -> None:
    """Replace a network's 3x3 convolutions that have enough channels, and the activations after
    them."""
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d) and _fits(child):
            setattr(network, name, WinogradConvActivation(child))
        else:
            use_winograd(child)
    if isinstance(network, nn.Sequential):
        for index in range(len(network) - 1):
            convolution = network[index]
            activation = network[index + 1]
            if isinstance(convolution, WinogradConvActivation) and isinstance(
                activation, nn.ReLU | nn.LeakyReLU
            ):
                convolution.slope = (
                    activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
                )
                network[index + 1] = nn.Identity()


def _fits(layer: nn.Conv2d) -> bool:
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, device="meta")
    same = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS and all(
        getattr(layer, name) == getattr(plain, name) for name in same
    )
