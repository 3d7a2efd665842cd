"""FlowSep: small separable kernels that resample both frames along estimated flows, at any time
between them.

`network.py` is the whole network, `blocks.py` its modules, and `steps` its computations besides
convolutions, each implemented in PyTorch, Halide (CPU) and Triton (CUDA).
"""

from midframe.models.flowsep.config import LEVELS, FlowSepConfig
from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.network import EncodedPair, Estimate, FlowSep, Prediction
from midframe.models.flowsep.scales import scale_for

__all__ = [
    "LEVELS",
    "EncodedPair",
    "Estimate",
    "FieldLayout",
    "FlowSep",
    "FlowSepConfig",
    "Prediction",
    "scale_for",
]
