"""Per-pixel convolutions: every output pixel has a kernel of its own."""

from midframe.ops.adaptive import adaptive_convolution
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.separable import separable_convolution

__all__ = ["adaptive_convolution", "flow_separable_convolution", "separable_convolution"]
