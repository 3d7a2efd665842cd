"""Bias, sum and leaky ReLU after a convolution, in one pass on CUDA."""

from midframe.ops.activation.op import bias_activation, convolve, fuses

__all__ = ["bias_activation", "convolve", "fuses"]
