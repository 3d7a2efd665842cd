"""Winograd convolution: fewer multiplications per output."""

from midframe.ops.winograd.transforms import TILE, kernel_values, transforms

__all__ = ["TILE", "kernel_values", "transforms"]
