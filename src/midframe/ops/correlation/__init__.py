"""Local correlation of the features of two frames."""

from midframe.ops.correlation.op import local_correlation

__all__ = ["local_correlation"]
