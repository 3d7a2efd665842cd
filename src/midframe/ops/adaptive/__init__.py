"""Adaptive convolution: a square kernel for every pixel."""

from midframe.ops.adaptive.op import adaptive_convolution

__all__ = ["adaptive_convolution"]
