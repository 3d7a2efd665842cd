"""The modules of FlowSep."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.models.flowsep.steps import Steps
from midframe.ops.activation import can_fuse, convolve

SLOPE = 0.1
"""Negative slope of leaky ReLU. PReLU took over four times as long in training, 78 against 17 ms
per step."""
TENSOR_CORE_CHANNELS = 8
"""Tensor cores need the channels of a convolution's input to be a multiple of this."""
FLOW_CHANNELS, TIME_CHANNELS = 4, 1
"""Channels of a decoder's input besides features, correlation and carried features: flow and t."""


class ConvActivation(nn.Sequential):
    """A 3x3 convolution and leaky ReLU, fused on CUDA."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        super().__init__(convolution, nn.LeakyReLU(SLOPE, inplace=True))
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        layer = self[0]
        if not (can_fuse(features) and isinstance(layer, nn.Conv2d)):
            result: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
            return result
        missing = features.shape[1] - layer.in_channels  # channels of zeros, see `Decoder`
        weight = layer.weight
        if missing:
            weight = functional.pad(weight, (0, 0, 0, 0, 0, missing))
            weight = weight.contiguous(memory_format=torch.channels_last)
        assert layer.bias is not None
        return convolve(features, weight, layer.bias, SLOPE, self.stride)


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvActivation(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.first(features)
        if can_fuse(features) and isinstance(self.second, nn.Conv2d):
            weight = self.second.weight
            bias = self.second.bias
            assert bias is not None
            return convolve(inner, weight, bias, SLOPE, residual=features)
        result: Tensor = self.activation(features + self.second(inner))
        return result


class Decoder(nn.Module):
    """The decoder of one level: refines flows, from both frames' features along the present ones.

    Args:
        width: channels of the features of one frame.
        radius: of their correlation, in pixels; 0 for none.
        carried: channels that the coarser level passes on; 0 for none.
        hidden: channels that this level passes on.
        outputs: of the head.
    """

    def __init__(self, width: int, radius: int, carried: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.radius = radius
        correlation = (2 * radius + 1) ** 2 if radius else 0
        inputs = 2 * width + correlation + carried + FLOW_CHANNELS + TIME_CHANNELS
        self.body = nn.Sequential(ConvActivation(inputs, hidden), Residual(hidden))
        self.head = nn.Conv2d(hidden, outputs, 3, padding=1)

    def forward(
        self, features: Tensor, carried: Tensor | None, flow: Tensor, t: Tensor, steps: Steps
    ) -> tuple[Tensor, Tensor]:
        """Return the features passed on, (N, hidden, h, w), and the head's outputs.

        Args:
            features, carried, flow, t: as in `Steps.decoder_input`.
            steps: the implementation that computes the decoder's input.
        """
        multiple = TENSOR_CORE_CHANNELS if features.is_cuda else 1
        inputs = steps.decoder_input(features, carried, flow, t, self.radius, multiple)
        hidden = self.body(inputs)
        return hidden, self.head(hidden)
