"""All steps in PyTorch: any device, any floating type, differentiable, for ONNX."""

from torch import Tensor

from midframe.models.flowsep.steps.alignment.reference import alignment
from midframe.models.flowsep.steps.decoder_input.reference import decoder_input
from midframe.models.flowsep.steps.downsampling.reference import downsample
from midframe.models.flowsep.steps.fields.reference import decode_outputs
from midframe.models.flowsep.steps.local_difference.reference import local_difference
from midframe.models.flowsep.steps.propagation.reference import propagate_flow
from midframe.models.flowsep.steps.synthesis.reference import synthesise
from midframe.ops.resampling import Resampling


class ReferenceSteps:
    """See `Steps`. The other implementations inherit the steps that they do not implement."""

    def downsample(self, frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
        return downsample(frame, factor, multiple)

    def local_difference(
        self, first: Tensor, second: Tensor, factor: int, size: tuple[int, int]
    ) -> Tensor:
        return local_difference(first, second, factor, size)

    def propagate_flow(
        self,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        t: Tensor,
        distance: int,
        dominant_motions: int,
    ) -> Tensor:
        return propagate_flow(first, second, flow, t, distance, dominant_motions)

    def decoder_input(
        self,
        features: Tensor,
        carried: Tensor | None,
        flow: Tensor,
        t: Tensor,
        radius: int,
        multiple: int = 1,
    ) -> Tensor:
        return decoder_input(features, carried, flow, t, radius, multiple)

    def decode_outputs(self, outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
        return decode_outputs(outputs, flow, t, normalise)

    def alignment(self, first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
        return alignment(first, second, fields)

    def synthesise(
        self,
        first: Tensor,
        second: Tensor,
        fields: Tensor,
        factor: int,
        rows: slice,
        columns: slice,
        deviation: Tensor,
        *,
        resampling: Resampling = "linear",
    ) -> Tensor:
        return synthesise(
            first, second, fields, factor, rows, columns, deviation, resampling=resampling
        )
