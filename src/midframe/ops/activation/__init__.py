"""Bias, sum and leaky ReLU after a convolution, in one pass on CUDA."""

from midframe.ops.activation.op import bias_activation, can_fuse, convolve

__all__ = ["bias_activation", "can_fuse", "convolve"]
