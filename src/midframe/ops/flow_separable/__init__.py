"""Separable convolution along a flow."""

from midframe.ops.flow_separable.op import flow_separable_convolution

__all__ = ["flow_separable_convolution"]
