"""Per-pixel convolutions: every output pixel has a kernel of its own."""

from midframe.ops.separable import separable_convolution

__all__ = ["separable_convolution"]
