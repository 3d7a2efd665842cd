"""The steps on CUDA: Triton kernels, two of them with gradients."""

from torch import Tensor

from midframe.models.flowsep.steps.alignment.triton import alignment
from midframe.models.flowsep.steps.decoder_input.triton import decoder_input
from midframe.models.flowsep.steps.downsampling.triton import downsample
from midframe.models.flowsep.steps.fields.triton import decode_outputs
from midframe.models.flowsep.steps.propagation.triton import propagate_flow, supports_flow
from midframe.models.flowsep.steps.reference import ReferenceSteps
from midframe.models.flowsep.steps.synthesis.triton import supports_frame, synthesise
from midframe.ops.resampling import Resampling
from midframe.ops.triton_tools import supports


class TritonTrainingSteps(ReferenceSteps):
    """See `Steps`; with gradients. The other steps are left to PyTorch."""

    def propagate_flow(
        self,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        t: Tensor,
        distance: int,
        dominant_motions: int,
    ) -> Tensor:
        if not supports_flow(first, second, flow):
            return super().propagate_flow(first, second, flow, t, distance, dominant_motions)
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
        if not supports(features):
            return super().decoder_input(features, carried, flow, t, radius, multiple)
        return decoder_input(features, carried, flow, t, radius, multiple)


class TritonSteps(TritonTrainingSteps):
    """See `Steps`; without gradients. Types that no kernel supports are left to PyTorch."""

    def downsample(self, frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
        if not supports(frame):
            return super().downsample(frame, factor, multiple)
        return downsample(frame, factor, multiple)

    def decode_outputs(self, outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
        if not supports(outputs):
            return super().decode_outputs(outputs, flow, t, normalise)
        return decode_outputs(outputs, flow, t, normalise)

    def alignment(self, first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
        if not supports(first):
            return super().alignment(first, second, fields)
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
        render = synthesise if supports_frame(first) else super().synthesise
        return render(
            first, second, fields, factor, rows, columns, deviation, resampling=resampling
        )
