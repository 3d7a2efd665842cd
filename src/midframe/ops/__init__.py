"""Operators of the networks."""

from midframe.ops.adaptive import adaptive_convolution
from midframe.ops.correlation import local_correlation
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.separable import separable_convolution

__all__ = [
    "adaptive_convolution",
    "flow_separable_convolution",
    "local_correlation",
    "separable_convolution",
]
