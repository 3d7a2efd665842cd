"""Separable adaptive convolution: a column and a row for every pixel."""

from midframe.ops.separable.op import separable_convolution

__all__ = ["separable_convolution"]
