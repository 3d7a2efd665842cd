"""FlowSep: small separable kernels that resample both frames along estimated flows, at any time.

It combines the kernel per pixel of AdaConv and SepConv with ideas of their successors: kernels
sampled along a flow (DSepConv, AdaCoF), flows from the requested time to both frames that are
refined from coarse to fine together with features (IFRNet), and local correlation of features
(PWC-Net). Only the last step works at the full resolution, so the network is fast enough for a CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from midframe.models.flowsep.blocks import SLOPE, ConvActivation, Decoder
from midframe.models.flowsep.compilation import compile_pipelines
from midframe.models.flowsep.confidence import confidence_of, fall_back, static_weight
from midframe.models.flowsep.config import LEVELS, FlowSepConfig
from midframe.models.flowsep.cuda_graphs import Graphs
from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.models.flowsep.pixel_kernels import kernels_of_pixel
from midframe.models.flowsep.scales import count_halvings, scale_for
from midframe.models.flowsep.steps import ReferenceSteps, select_steps
from midframe.models.flowsep.steps.fields.reference import update_flow
from midframe.models.network import Network, Statistics, pair_statistics
from midframe.ops.dispatch import compilation_is_disabled
from midframe.ops.upsampling import upsample

Result = TypeVar("Result")
FIELDS_SCALE = 2
"""Factor by which the fields are smaller than the processed frames."""
HEAD_GAIN, DETAIL_GAIN = 0.05, 0.01
"""Factors of the last convolutions' initial weights, for flows and for kernels, mask and residual:
the network starts near the average of both frames."""
MAX_PARALLEL_PIXELS, PROCESSED_PIXEL_WEIGHT = 20_000_000, 5
"""The pixels of all pairs that are interpolated in parallel are limited to this, to 1.3 GB of
memory. A pixel takes 65 bytes, and one at the processed resolution 300 bytes, so it counts as 5."""


class Estimate(NamedTuple):
    """The estimate for a pair of frames at one time, for training."""

    flows: list[Tensor]
    """Flows of every level, coarsest first: from the time to the first and to the second frame, (N,
    4, h, w), x before y, in pixels of that level."""
    fields: Tensor
    """At half the processed resolution, laid out by `FieldLayout`."""
    statistics: Statistics
    scale: int
    """Factor by which frames are downsampled for the encoder."""


class Prediction(NamedTuple):
    """The prediction for one time, at the size of the fields."""

    fields: Tensor
    """Laid out by `FieldLayout`, (N, 4 + 4K + 4, h, w)."""
    confidence: Tensor
    """How reliable the fields are, (N, 1, h, w), from 0 to 1."""
    final_fields: Tensor
    """The fields, replaced where they are unreliable and in static areas (`fall_back`)."""


@dataclass
class EncodedPair:
    """A pair of frames (N, C, H, W), encoded once for all times and tiles."""

    first: Tensor
    second: Tensor
    statistics: Statistics
    scale: int
    """Factor by which frames are downsampled for the encoder."""
    halves: tuple[Tensor, Tensor]
    """Both frames at the size of the fields, (N, 3, h, w)."""
    difference: Tensor
    """The largest difference around each value of the fields, (N, 1, h, w)."""
    features: list[Tensor]
    """Features of both frames, (2N, C, h, w), finest first."""
    predictions: dict[tuple[float, ...], Prediction] = field(default_factory=dict)
    """Predictions by time; see `FlowSep.predict`."""


class FlowSep(Network):
    """Interpolates frames (N, 3, H, W) in [0, 1] at any time; see the module's docstring."""

    tile = 2048  # Halide's synthesis needs no extra memory, PyTorch's 0.5 GB for such fields
    any_time = True
    approximate_inference = True
    max_plain_pixels = 1 << 21
    """See `Network`. Compiling takes 5 s of processor time, and saves 1.8 s per megapixel."""
    falls_back = True
    """Whether unreliable fields are replaced by the nearest frame, and those of static areas by the
    average."""
    scale = 0
    """Factor by which frames are downsampled for the encoder; 0 to choose it by size."""
    graphs: Graphs | None = None
    """The CUDA graphs of a network that is ready for inference."""

    def __init__(self, config: FlowSepConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FlowSepConfig()
        self.layout = FieldLayout(config.taps)
        inputs = (COLOURS, *config.widths[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(
                ConvActivation(narrow, wide, stride=2),
                ConvActivation(wide, wide),
            )
            for narrow, wide in zip(inputs, config.widths, strict=True)
        )
        self.decoders = nn.ModuleList(self._decoder(level) for level in range(LEVELS))
        self._initialise()

    def _decoder(self, level: int) -> Decoder:
        """Create the decoder of a level; 0 is the finest, the only one that outputs all fields."""
        config = self.config
        finest = level == 0
        coarsest = level == LEVELS - 1
        return Decoder(
            config.widths[level],
            config.radii[level],
            carried=0 if coarsest else config.hidden[level + 1],
            hidden=config.hidden[level],
            outputs=self.layout.channels if finest else self.layout.flows.stop,
        )

    @property
    def stride(self) -> int:
        """Return the number of which height and width of processed frames are multiples."""
        return 1 << LEVELS

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """Interpolate the frame (N, 3, H, W) at `t`, a number or one time per sample (N,); the
        result is not clipped."""
        height, width = first.shape[2:]
        return self.render_tile(self.prepare(first, second), slice(0, height), slice(0, width), t)

    def estimate(
        self, first: Tensor, second: Tensor, t: Tensor | float, scale: int = 1
    ) -> Estimate:
        """Estimate fields for frames (N, 3, H, W), their sizes multiples of the stride times the
        scale."""
        first, second = first.to(self.frame_dtype), second.to(self.frame_dtype)
        statistics, halves, features = self._encode(first, second, scale, self.config.coarse_passes)
        flows, fields = self.decode(features, halves, self._times(t, first))
        return Estimate(flows[-LEVELS:], fields, statistics, scale)

    def synthesise(self, first: Tensor, second: Tensor, estimate: Estimate) -> Tensor:
        """Render whole frames (N, 3, H, W) from an estimate, differentiable."""
        height, width = first.shape[2:]
        return ReferenceSteps().synthesise(
            first,
            second,
            estimate.fields,
            FIELDS_SCALE * estimate.scale,
            slice(0, height),
            slice(0, width),
            estimate.statistics.deviation,
            resampling=self.config.resampling,
        )

    def prepare(self, first: Tensor, second: Tensor) -> EncodedPair:
        """Encode both frames, downsampled if they are large; a fourth channel is not encoded."""
        first, second = first.to(self.frame_dtype), second.to(self.frame_dtype)
        default = scale_for(*first.shape[2:])
        scale = self.scale or default
        compiled = first.device.type == "cpu" and not compilation_is_disabled()
        compiled = compiled and not torch.compiler.is_compiling()
        if compiled and not torch.is_grad_enabled():
            compile_pipelines(self, first.shape[1], scale)
        passes = self.config.coarse_passes + count_halvings(default, scale)
        return EncodedPair(
            first, second, *self._run(self._encode_pair, first, second, scale, passes)
        )

    def _encode_pair(
        self, first: Tensor, second: Tensor, scale: int, passes: int
    ) -> tuple[Statistics, int, tuple[Tensor, Tensor], Tensor, list[Tensor]]:
        """Return the fields of `EncodedPair` after both frames."""
        colours = first[:, :COLOURS], second[:, :COLOURS]
        statistics, halves, features = self._encode(*colours, scale, passes)
        size = halves[0].shape[2], halves[0].shape[3]
        difference = select_steps(first).local_difference(first, second, FIELDS_SCALE * scale, size)
        return statistics, scale, halves, difference, features

    def _encode(
        self, first: Tensor, second: Tensor, scale: int, coarse_passes: int
    ) -> tuple[Statistics, tuple[Tensor, Tensor], list[Tensor]]:
        """Downsample both frames by the scale, to multiples of the stride, and encode them.

        Returns:
            The statistics of the pair, both frames at the size of the fields, and the features.
        """
        steps = select_steps(first)
        processed = (
            steps.downsample(first, scale, self.stride),
            steps.downsample(second, scale, self.stride),
        )
        statistics = pair_statistics(*processed)
        halves = (
            steps.downsample(processed[0], FIELDS_SCALE),
            steps.downsample(processed[1], FIELDS_SCALE),
        )
        return statistics, halves, self.encode(*processed, statistics, coarse_passes)

    def render_tile(
        self, pair: EncodedPair, rows: slice, columns: slice, t: Tensor | float = 0.5
    ) -> Tensor:
        """Render a rectangle of the frame at a time; the prediction is computed once for all
        tiles."""
        prediction = self.predict(pair, t)
        return select_steps(pair.first).synthesise(
            pair.first,
            pair.second,
            prediction.final_fields if self.falls_back else prediction.fields,
            FIELDS_SCALE * pair.scale,
            rows,
            columns,
            pair.statistics.deviation,
            resampling=self.config.resampling,
        )

    def predict(self, pair: EncodedPair, t: Tensor | float = 0.5) -> Prediction:
        """Predict the fields at a time, once for all tiles of a frame."""
        times = self._times(t, pair.first)
        key = tuple(times.flatten().tolist()) if isinstance(t, Tensor) else (float(t),)
        if key not in pair.predictions:
            pair.predictions[key] = self._run(
                self._predict, pair.features, pair.halves, pair.difference, times
            )
        return pair.predictions[key]

    def _predict(
        self, features: list[Tensor], halves: tuple[Tensor, Tensor], difference: Tensor, t: Tensor
    ) -> Prediction:
        """Predict the fields at times (N, 1, 1, 1)."""
        _, fields = self.decode(features, halves, t)
        alignment = select_steps(fields).alignment(*halves, fields)
        confidence = confidence_of(alignment)
        static = static_weight(difference, alignment, fields)
        return Prediction(fields, confidence, fall_back(fields, confidence, static, t))

    def _run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function of this network, as a CUDA graph where that is possible."""
        weights = next(self.parameters())
        if self.graphs is None or not weights.is_cuda:
            return function(*arguments)
        return self.graphs.run(function, *arguments, key=weights.data_ptr())

    def for_inference(self, precision: torch.dtype = torch.float32) -> "FlowSep":
        """See `Network`; on CUDA the work for each pair is launched as two graphs."""
        ready = super().for_inference(precision)
        assert isinstance(ready, FlowSep)
        ready.graphs = Graphs()
        return ready

    def pairs_at_once(self, height: int, width: int) -> int:
        """See `Network`; threads that compute separate pairs do not wait for each other."""
        pixels = height * width
        scale = self.scale or scale_for(height, width)
        pixels += PROCESSED_PIXEL_WEIGHT * pixels // scale**2
        return max(1, MAX_PARALLEL_PIXELS // pixels)

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """See `Network`: the products of the columns and the rows, where the flows lead, without
        the residual."""
        pair = self.prepare(first, second)
        factor = FIELDS_SCALE * pair.scale
        fields = upsample(self.predict(pair).fields, factor)[..., y, x]  # (N, channels)
        return kernels_of_pixel(fields, factor, self.layout, self.config.resampling)

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; the flow from the first to the second frame of every pixel."""
        pair = self.prepare(first, second)
        fields = self.predict(pair).fields
        factor = FIELDS_SCALE * pair.scale
        to_first, to_second = fields[:, self.layout.flows].chunk(2, dim=1)
        height, width = first.shape[2:]
        return upsample((to_second - to_first) * factor, factor)[..., :height, :width]

    def encode(
        self, first: Tensor, second: Tensor, statistics: Statistics, coarse_passes: int = 0
    ) -> list[Tensor]:
        """Compute the features of both frames, finest first, each (2N, C, h, w).

        Those of every level, then the coarsest ones of the frames halved once for each coarse pass.
        """
        steps = select_steps(first)
        mean = statistics.mean.repeat(2, 1, 1, 1)
        deviation = statistics.deviation.repeat(2, 1, 1, 1)
        pair = torch.cat((first, second)).sub_(mean).div_(deviation)
        features = self._features(pair)
        for _ in range(coarse_passes):
            pair = steps.downsample(pair, 2, self.stride)
            features.append(self._features(pair)[-1])
        return features

    def _features(self, pair: Tensor) -> list[Tensor]:
        """Compute the features of every level, finest first."""
        pair = pair.to(self.dtype).contiguous(memory_format=torch.channels_last)
        features = []
        for level in self.encoder:
            pair = level(pair)
            features.append(pair)
        return features

    def decode(
        self, features: list[Tensor], halves: tuple[Tensor, Tensor], t: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Refine the flows from the coarsest features to the finest, and compute the fields.

        Args:
            features: from `encode`, finest first.
            halves: both frames at the size of the finest features, (N, 3, h, w).
            t: times (N, 1, 1, 1).

        Returns:
            The flows at each resolution, coarsest first, in pixels of that resolution, and the
            fields.
        """
        steps = select_steps(t)
        config = self.config
        samples = t.shape[0]
        # Additional features are from coarse passes. The coarsest decoder runs on them first, so
        # that motion beyond its reach at its own level is found (one network for all sizes, as in
        # arXiv 2103.16206).
        coarsest = self.decoders[-1]
        finest = self.decoders[0]
        coarse_passes = len(features) - LEVELS
        decoders = [*repeat(coarsest, coarse_passes), *reversed(self.decoders)]
        flow = t.new_zeros(samples, 4, *features[-1].shape[2:])
        outputs = flow
        carried = None
        flows = list[Tensor]()
        for number, (decoder, level) in enumerate(zip(decoders, reversed(features), strict=True)):
            if flows:  # at twice the resolution flows are twice as long; an odd size is cropped
                height, width = level.shape[2:]
                flow = 2 * upsample(flows[-1], 2)[..., :height, :width]
            if decoder is finest:  # for sharp edges: flows of coarser levels are blurred
                flow = steps.propagate_flow(
                    *halves, flow, t, config.propagation_distance, config.dominant_motions
                )
            # The coarsest decoder has no input from a coarser level, also in coarse passes.
            before = None if decoder is coarsest else carried
            if number < coarse_passes + config.bidirectional_levels:
                # Both orders of the frames as two samples; the flows are the mean of both.
                both = torch.cat((t, 1 - t))
                flow = torch.cat((flow, swap_frames(flow)))
                first, second = level.chunk(2)
                orders = torch.cat((first, second, second, first))
                carried, outputs = decoder(orders, before, flow, both, steps)
                forward, backward = update_flow(flow, outputs, both).chunk(2)
                flows.append((forward + swap_frames(backward)) / 2)
            else:  # after bidirectional levels, only the features of the given order are used
                before = None if before is None else before[:samples]
                carried, outputs = decoder(level, before, flow, t, steps)
                flows.append(update_flow(flow, outputs, t))
        outputs = outputs[:samples]
        return flows, steps.decode_outputs(outputs, flows[-1], t, config.kernel_normalisation)

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the weights and the features."""
        return next(self.parameters()).dtype

    @property
    def frame_dtype(self) -> torch.dtype:
        """Return the type of the frames and the fields: float32, or float64 with such weights."""
        return torch.promote_types(self.dtype, torch.float32)

    def _times(self, t: Tensor | float, first: Tensor) -> Tensor:
        """Return times (N, 1, 1, 1) on the device of a frame."""
        if not isinstance(t, Tensor):  # no copy from the host, which CUDA graphs cannot capture
            size = (first.shape[0], 1, 1, 1)
            return torch.full(size, t, dtype=self.frame_dtype, device=first.device)
        return t.to(first.device, self.frame_dtype).expand(first.shape[0]).view(-1, 1, 1, 1)

    def _initialise(self) -> None:
        """Initialise weights by He's normal initialisation for leaky ReLU; scale down the heads."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        flows = self.layout.flows.stop
        for decoder in self.decoders:
            assert isinstance(decoder, Decoder)
            with torch.no_grad():
                decoder.head.weight[:flows] *= HEAD_GAIN
                decoder.head.weight[flows:] *= DETAIL_GAIN


def swap_frames(flow: Tensor) -> Tensor:
    """Return flows (N, 4, h, w) for exchanged frames: to the second before those to the first."""
    to_first, to_second = flow.chunk(2, dim=1)
    return torch.cat((to_second, to_first), dim=1)
