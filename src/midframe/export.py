"""Export of networks as ONNX files with standard operators only."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from midframe.errors import CheckpointError, OptionError
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.confidence import confidence_of, fall_back, static_weight
from midframe.models.flowsep.steps import ReferenceSteps
from midframe.models.network import Network
from midframe.outputs import atomic_write

OPSET = 18
"""Version of the operators; 16 is the first with GridSample."""
EXAMPLE_SIZE = (64, 96)
"""Height and width of the frames that the network is traced with; the file takes any multiple of
its stride."""


class _Exported(nn.Module):
    """Maps two frames and a time to a frame, clipped."""

    def __init__(self, model: FlowSep) -> None:
        super().__init__()
        self.model = model

    def forward(self, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
        estimate = self.model.estimate(first, second, time)
        if self.model.falls_back:
            steps, fields = ReferenceSteps(), estimate.fields
            small = steps.downsample(first, 2), steps.downsample(second, 2)
            alignment = steps.alignment(*small, fields)
            confidence = confidence_of(alignment)
            size = fields.shape[2], fields.shape[3]
            difference = steps.local_difference(first, second, 2, size)
            static = static_weight(difference, alignment, fields)
            final_fields = fall_back(fields, confidence, static, time.view(-1, 1, 1, 1))
            estimate = estimate._replace(fields=final_fields)
        return self.model.synthesise(first, second, estimate).clamp(0, 1)


def export_onnx(
    model: Network, path: Path, *, progress: Callable[[str], None] | None = None
) -> None:
    """Write a network as an ONNX file.

    Its inputs are `first` and `second`, frames (1, 3, H, W) float32 RGB in [0, 1], H and W
    multiples of 16, and `time`, (1,) float32 from 0 to 1; its output is `between`, like the frames.
    Frames are processed at full resolution.

    Args:
        model: a flowsep; other networks are not supported.
        path: of the file, which appears when it is complete.
        progress: called with the name of each phase as it begins.

    Raises:
        OptionError: a network that cannot be exported.
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    if not isinstance(model, FlowSep):
        raise OptionError(f"{type(model).__name__} is not supported: only flowsep can be exported")
    import onnx
    import onnxscript  # noqa: F401  # torch asks for it with a worse message

    report = progress or (lambda _: None)
    report("tracing the network, which takes some minutes")
    module = _Exported(model.for_inference(torch.float32))
    frames, dim = torch.rand(1, 3, *EXAMPLE_SIZE), torch.export.Dim
    shape = {2: model.stride * dim("rows", min=1), 3: model.stride * dim("columns", min=1)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (frames, frames.flip(3), torch.tensor([0.25])),
            dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["first", "second", "time"], output_names=["between"],
            dynamic_shapes={"first": shape, "second": shape, "time": {}},
        )  # fmt: skip
    assert program is not None, "an export by torch.export gives a program"
    report("writing")
    try:
        with atomic_write(path) as unfinished:
            onnx.save(program.model_proto, unfinished)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror}): choose another place for OUT"
        ) from error
