"""The steps on the CPU: Halide pipelines, which have no gradients."""

from torch import Tensor

from midframe.models.flowsep.steps.alignment.halide import alignment
from midframe.models.flowsep.steps.decoder_input.halide import decoder_input
from midframe.models.flowsep.steps.downsampling.halide import downsample
from midframe.models.flowsep.steps.fields.halide import decode_outputs
from midframe.models.flowsep.steps.local_difference.halide import local_difference
from midframe.models.flowsep.steps.propagation.dominant_motions_halide import choose_motions
from midframe.models.flowsep.steps.propagation.halide import choose_candidates
from midframe.models.flowsep.steps.propagation.reference import propagate_flow
from midframe.models.flowsep.steps.reference import ReferenceSteps
from midframe.models.flowsep.steps.synthesis.halide import synthesise
from midframe.ops.halide_tools import supports, supports_features
from midframe.ops.resampling import Resampling


class HalideTrainingSteps(ReferenceSteps):
    """See `Steps`; with gradients. Halide chooses the propagated flows, which needs no gradient."""

    def propagate_flow(
        self,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        t: Tensor,
        distance: int,
        dominant_motions: int,
    ) -> Tensor:
        if not supports(first):
            return super().propagate_flow(first, second, flow, t, distance, dominant_motions)
        return propagate_flow(
            first,
            second,
            flow,
            t,
            distance,
            dominant_motions,
            choose=choose_candidates,
            choose_motions=choose_motions,
        )


class HalideSteps(HalideTrainingSteps):
    """See `Steps`; without gradients. Types that no pipeline supports are left to PyTorch."""

    def downsample(self, frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
        if not supports(frame):
            return super().downsample(frame, factor, multiple)
        return downsample(frame, factor, multiple)

    def local_difference(
        self, first: Tensor, second: Tensor, factor: int, size: tuple[int, int]
    ) -> Tensor:
        if not supports(first):
            return super().local_difference(first, second, factor, size)
        return local_difference(first, second, factor, size)

    def decoder_input(
        self,
        features: Tensor,
        carried: Tensor | None,
        flow: Tensor,
        t: Tensor,
        radius: int,
        multiple: int = 1,
    ) -> Tensor:
        if not supports_features(features):
            return super().decoder_input(features, carried, flow, t, radius, multiple)
        return decoder_input(features, carried, flow, t, radius, multiple)

    def decode_outputs(self, outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
        if not supports_features(outputs):
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
        render = synthesise if supports(first) else super().synthesise
        return render(
            first, second, fields, factor, rows, columns, deviation, resampling=resampling
        )
