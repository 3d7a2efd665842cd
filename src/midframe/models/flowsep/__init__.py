"""FlowSep: flows find the place, small separable kernels resample there; any time between frames.

From the outside in: `network.py` is the whole network, `blocks.py` its modules, `steps` what it
does besides convolutions, each step in PyTorch, in Halide (CPU) and in Triton (CUDA).
"""

from midframe.models.flowsep.config import BASE, LEVELS, FlowSepConfig
from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.network import EncodedPair, Estimate, FlowSep, Prediction
from midframe.models.flowsep.scales import scale_for

__all__ = [
    "BASE",
    "LEVELS",
    "EncodedPair",
    "Estimate",
    "FieldLayout",
    "FlowSep",
    "FlowSepConfig",
    "Prediction",
    "scale_for",
]
