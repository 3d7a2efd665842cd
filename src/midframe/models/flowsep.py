"""FlowSep: flow finds the place, small separable kernels resample there; any time between two frames.

Ours, on the idea of both papers that a pixel is made by a kernel of its own, and what followed them: kernels sampled
along a flow (DSepConv, AdaCoF), flows from the wanted time to both frames refined from coarse to fine together with
what is seen there (IFRNet), local correlation of features (PWC-Net). Nothing but the last operator works at the full
size of a frame, so the network is light enough for a processor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.models.confidence import confidence, fall_back, stillness
from midframe.models.cuda_graphs import Graphs
from midframe.models.network import Network, Statistics, pair_statistics
from midframe.ops.activation import convolve, fuses
from midframe.ops.alignment import aligned
from midframe.ops.difference import local_difference
from midframe.ops.dispatch import side_by_side
from midframe.ops.fields import fields, refined
from midframe.ops.propagation import propagated
from midframe.ops.reduction import reduced
from midframe.ops.resampling import Resampling, check_resampling, interpolation_weight
from midframe.ops.synthesis import enlarged, synthesise, synthesise_plainly

Result = TypeVar("Result")
LEVELS = 4
"""Features are at 1/2, 1/4, 1/8 and 1/16 of what is read."""
HEAD_GAIN, DETAIL_GAIN = 0.05, 0.01
"""Scale of the last convolutions' initial weights, for flows and for kernels, mask and residual: the network starts
near the average of both frames."""
SLOPE = 0.1
"""Of leaky ReLU below zero. PReLU's own passes took over four times as long in training, 78 against 17 ms a step."""
MOST_REACH = 31
"""Kernels are drawn with taps up to so far from their pixel."""
MOST_ROWS = 600
"""Frames with a shorter side above this are estimated at half size, a quarter, and so on."""
PIXELS_AT_ONCE, WEIGHT_OF_READ = 20_000_000, 5
"""Pairs are made at the same time while their frames have so many pixels, and one that is read counts for five more:
65 and 300 bytes each, so 1.3 GB in all."""
TENSOR_CORE_CHANNELS = 8
"""Tensor cores need the channels of a convolution's input to be a multiple of this."""
TINY = 16
"""So many strides wide is what pipelines are tried on: no level may be narrower than a register of the processor."""
_compiled: set[tuple[object, ...]] = set()
"""What pipelines were compiled for: forms of the network, types, channels of frames and scales."""


@dataclass(frozen=True)
class FlowSepConfig:
    """The form of the network. The defaults are the small size; `BASE` has what the other one differs in."""

    widths: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of the features, finest first."""
    hidden: tuple[int, ...] = (32, 48, 64, 96)
    """Channels of what the decoder carries from level to level, finest first."""
    radii: tuple[int, ...] = (0, 3, 4, 4)
    """How far the features of both frames are correlated at each level, in its pixels; 0 for not at all."""
    taps: int = 5
    """Length of the kernels in pixels, odd; 1 leaves flow alone."""
    both_ways: int = 1
    """So many of the coarsest levels look from the first frame to the second and back, and take the mean of both flows,
    which errs less than either."""
    neighbours: int = 4
    """The finest level begins with each pixel's own flow or that of one so far away, whichever brings both frames
    together; 0 for its own."""
    kernel_normalisation: bool = True
    """Divide kernels by their sums, so that they change no brightness."""
    coarse_passes: int = 0
    """How many times the coarsest decoder runs before the others, on frames halved once more each
    time: every pass doubles the largest motion that is found."""
    resampling: Resampling = "linear"
    """How frames are interpolated between pixels: "linear", or "cubic", which blurs less at the cost of two more rows
    and columns of pixels."""

    def __post_init__(self) -> None:
        for name in ("widths", "hidden", "radii"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != LEVELS or min(values) < (0 if name == "radii" else 1):
                raise ValueError(f"{name} are {values}: {LEVELS} positive numbers are needed")
        if not 0 <= self.both_ways <= LEVELS:
            raise ValueError(f"both_ways is {self.both_ways}: a number from 0 to {LEVELS} is needed")
        if self.neighbours < 0:
            raise ValueError(f"neighbours is {self.neighbours}: a distance in pixels, or 0, is needed")
        if not 0 <= self.coarse_passes <= 3:
            raise ValueError(f"coarse_passes is {self.coarse_passes}: a number from 0 to 3 is needed")
        if self.taps % 2 == 0 or not 1 <= self.taps <= 11:
            raise ValueError(f"taps is {self.taps}: an odd number from 1 to 11 is needed")
        check_resampling(self.resampling)


BASE = {"widths": (32, 48, 80, 112), "hidden": (32, 64, 96, 128)}
"""The larger size, as settings of `FlowSepConfig`: twice the work."""


class Estimate(NamedTuple):
    """What the network says of a pair of frames at one time."""

    flows: list[Tensor]
    """Of every level, coarsest first: from the time to the first and to the second frame, (N, 4, h, w), x before y, in
    pixels of that level."""
    said: Tensor
    """All fields at half the size of what is read, as `synthesise` takes them."""
    statistics: Statistics
    scale: int
    """How many times smaller than the frames what is read is."""


class Said(NamedTuple):
    """What is said of one time, all at the size of the fields."""

    fields: Tensor
    """As `synthesise` takes them, (N, 4 + 4K + 4, h, w)."""
    trust: Tensor
    """How far they can be trusted, (N, 1, h, w), from 0 to 1."""
    shown: Tensor
    """The fields, with the nearest frame where they cannot, and both frames where these are still."""


@dataclass
class Prepared:
    """A pair of frames (N, C, H, W), what was measured of them, and what was said of times asked for."""

    first: Tensor
    second: Tensor
    statistics: Statistics
    scale: int
    """How many times smaller than the frames what the network reads is."""
    read: tuple[Tensor, Tensor]
    """Both at the size of the fields, (N, 3, h, w)."""
    difference: Tensor
    """The largest difference around each value of the fields, (N, 1, h, w)."""
    features: list[Tensor]
    """Of both frames, (2N, C, h, w), finest first."""
    said: dict[tuple[float, ...], Said] = field(default_factory=dict)
    """What was said of times that were asked for; see `FlowSep.say`."""


class ConvActivation(nn.Sequential):
    """A 3x3 convolution and leaky ReLU, fused on CUDA."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(SLOPE, inplace=True))
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        layer = self[0]
        if not (fuses(features) and isinstance(layer, nn.Conv2d)):
            result: Tensor = super().forward(features)
            return result
        missing = features.shape[1] - layer.in_channels  # channels of zeros, see `Decoder`
        weight = layer.weight
        if missing:
            weight = functional.pad(weight, (0, 0, 0, 0, 0, missing))
            weight = weight.contiguous(memory_format=torch.channels_last)
        assert layer.bias is not None
        return convolve(features, weight, layer.bias, SLOPE, self.stride)


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvActivation(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.bend = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        if fuses(features) and isinstance(self.second, nn.Conv2d):
            assert self.second.bias is not None
            return convolve(self.first(features), self.second.weight, self.second.bias, SLOPE, beside=features)
        result: Tensor = self.bend(features + self.second(self.first(features)))
        return result


class Decoder(nn.Module):
    """One level: from what both frames show along the flows so far to better flows and what is carried on."""

    def __init__(self, width: int, radius: int, carried: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.radius = radius
        seen = 2 * width + ((2 * radius + 1) ** 2 if radius else 0)
        self.body = nn.Sequential(ConvActivation(seen + carried + 5, hidden), Residual(hidden))
        self.head = nn.Conv2d(hidden, outputs, 3, padding=1)

    def forward(self, features: Tensor, carried: Tensor | None, flow: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is carried on, (N, hidden, h, w), and the outputs. Arguments as in `aligned`."""
        multiple = TENSOR_CORE_CHANNELS if features.is_cuda else 1
        inputs = aligned(features, carried, flow, time, self.radius, multiple=multiple)
        hidden = self.body(inputs)
        return hidden, self.head(hidden)


class FlowSep(Network):
    """The whole network; see the module's text. Frames are (N, 3, H, W) in [0, 1]."""

    tile = 2048  # by Halide the last step needs no memory of its own, in PyTorch 0.5 GB for the fields of so much
    any_time = True
    falls_back = True
    """Whether it shows the nearest frame where what it says cannot be trusted, and still areas as they are."""
    scale = 0
    """How many times smaller frames are read; 0 to choose by their size."""
    graphs: Graphs | None = None
    """The CUDA graphs of a network that is ready for inference."""

    def __init__(self, config: FlowSepConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FlowSepConfig()
        steps = zip((3, *config.widths[:-1]), config.widths, strict=True)
        self.encoder = nn.ModuleList(
            nn.Sequential(ConvActivation(inputs, outputs, stride=2), ConvActivation(outputs, outputs))
            for inputs, outputs in steps
        )
        levels = range(LEVELS)
        carried = (*config.hidden[1:], 0)
        outputs = [4 + 4 * config.taps + 4, 4, 4, 4]
        self.decoders = nn.ModuleList(
            Decoder(config.widths[n], config.radii[n], carried[n], config.hidden[n], outputs[n]) for n in levels
        )
        self._initialise()

    @property
    def stride(self) -> int:
        """What the network reads is a multiple of this in height and width."""
        return 1 << LEVELS

    def forward(self, first: Tensor, second: Tensor, time: Tensor | float = 0.5) -> Tensor:
        """Make the frame (N, 3, H, W) at a time, one for all samples or one each, not clipped."""
        height, width = first.shape[2:]
        return self.part(self.prepare(first, second), slice(0, height), slice(0, width), time)

    def estimate(self, first: Tensor, second: Tensor, time: Tensor | float, scale: int = 1) -> Estimate:
        """What the network says of frames (N, 3, H, W), their sizes multiples of the stride times the scale."""
        read = reduced(first, scale), reduced(second, scale)
        statistics = pair_statistics(*read)
        halves = reduced(read[0], 2), reduced(read[1], 2)
        features = self.encode(*read, statistics, self.config.coarse_passes)
        flows, said = self.decode(features, halves, self._times(time, first))
        return Estimate(flows[-LEVELS:], said, statistics, scale)

    def prepare(self, first: Tensor, second: Tensor) -> Prepared:
        """Read both frames, reduced if they are large; a fourth channel is not looked at."""
        usual = scale_for(*first.shape[2:])
        scale = self.scale or usual
        if first.device.type == "cpu" and not torch.is_grad_enabled():
            self._compile(first.shape[1], scale)
        passes = self.config.coarse_passes + halvings(usual, scale)
        return Prepared(first, second, *self._run(self._read, first, second, scale, passes))

    def _read(
        self, first: Tensor, second: Tensor, scale: int, passes: int
    ) -> tuple[Statistics, int, tuple[Tensor, Tensor], Tensor, list[Tensor]]:
        """Return the statistics, the scale, both frames at the size of the fields, the local difference, features."""
        read = [reduced(frame[:, :3].float(), scale, self.stride) for frame in (first, second)]
        statistics = pair_statistics(read[0], read[1])
        features = self.encode(read[0], read[1], statistics, passes)
        halves = reduced(read[0], 2), reduced(read[1], 2)
        size = halves[0].shape[2], halves[0].shape[3]
        difference = local_difference(first.float(), second.float(), 2 * scale, size)
        return statistics, scale, halves, difference, features

    def part(self, prepared: Prepared, rows: slice, columns: slice, time: Tensor | float = 0.5) -> Tensor:
        """Make a rectangle of the frame at a time. What all parts of it share is made once."""
        said, _, shown = self.say(prepared, time)
        frames = prepared.first.float(), prepared.second.float()
        return synthesise(
            *frames,
            shown if self.falls_back else said,
            2 * prepared.scale,
            rows,
            columns,
            prepared.statistics.deviation,
            resampling=self.config.resampling,
        )

    def say(self, prepared: Prepared, time: Tensor | float = 0.5) -> Said:
        """What is said of a time, made once for all parts of a frame."""
        when = self._times(time, prepared.first)
        key = tuple(when.flatten().tolist()) if isinstance(time, Tensor) else (float(time),)
        if key not in prepared.said:
            given = prepared.features, prepared.read, prepared.difference, when
            prepared.said[key] = self._run(self._predict, *given)
        return prepared.said[key]

    def _predict(
        self, features: list[Tensor], read: tuple[Tensor, Tensor], difference: Tensor, time: Tensor
    ) -> Said:
        """Return the fields at a time, (N, 1, 1, 1)."""
        said = self.decode(features, read, time)[1]
        trust = confidence(*read, said, self.config.taps)
        still = stillness(difference, said)
        return Said(said, trust, fall_back(said, trust, still, time, self.config.taps))

    def _run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function of this network, as a CUDA graph where that is possible."""
        weights = next(self.parameters())
        if self.graphs is None or not weights.is_cuda:
            return function(*arguments)
        return self.graphs.run(function, *arguments, key=weights.data_ptr())

    def for_inference(self, precision: torch.dtype = torch.float32) -> "FlowSep":
        """See `Network`; on CUDA what is done for each pair is launched as two graphs."""
        ready = super().for_inference(precision)
        assert isinstance(ready, FlowSep)
        ready.graphs = Graphs()
        return ready

    def pairs_at_once(self, height: int, width: int) -> int:
        """See `Network`; what one thread does alone loses no time where work is hard to divide."""
        pixels, scale = height * width, self.scale or scale_for(height, width)
        return max(1, PIXELS_AT_ONCE // (pixels + WEIGHT_OF_READ * pixels // scale**2))

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """See `Network`: the products of the columns and the rows, where the flows lead, without the residual."""
        prepared = self.prepare(first, second)
        said, factor = self.say(prepared).fields, 2 * prepared.scale
        whole = enlarged(said, factor)[..., y, x]  # (N, fields)
        flow, share = whole[:, :4].view(-1, 2, 2) * factor, whole[:, 4 + 4 * self.config.taps]
        taps = whole[:, 4 : 4 + 4 * self.config.taps].view(-1, 2, 2, self.config.taps)  # frame, axis
        reach = min(MOST_REACH, int(flow.abs().max().ceil()) + self.config.taps // 2 + 1)
        places = torch.arange(-reach, reach + 1, device=said.device)
        offsets = torch.arange(self.config.taps, device=said.device) - self.config.taps // 2
        # A tap between pixels spreads over those around it.
        apart = places - (flow.flip(2)[..., None, None] + offsets[:, None])  # (N, 2, axis, K, places)
        along = torch.einsum("nfakp,nfak->nfap", interpolation_weight(apart, self.config.resampling), taps)
        shares = torch.stack((share, 1 - share), dim=1)[..., None, None]
        return torch.einsum("nfi,nfj->nfij", along[:, :, 0], along[:, :, 1]) * shares

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; of every pixel."""
        prepared = self.prepare(first, second)
        flow, factor = self.say(prepared).fields[:, :4], 2 * prepared.scale
        height, width = first.shape[2:]
        return enlarged((flow[:, 2:] - flow[:, :2]) * factor, factor)[..., :height, :width]

    def encode(self, first: Tensor, second: Tensor, statistics: Statistics, glances: int = 0) -> list[Tensor]:
        """The features of both frames, finest first, each (2N, C, h, w).

        Those of every level, and then the coarsest ones of the frames halved so many times, one after another.
        """
        mean, deviation = (each.repeat(2, 1, 1, 1) for each in statistics)
        pair = torch.cat((first, second)).sub_(mean).div_(deviation)
        features = self._features(pair)
        for _ in range(glances):
            pair = reduced(pair, 2, self.stride)
            features.append(self._features(pair)[-1])
        return features

    def _features(self, pair: Tensor) -> list[Tensor]:
        """The features of every level, finest first."""
        pair = pair.to(self._type).contiguous(memory_format=torch.channels_last)
        features = []
        for step in self.encoder:
            pair = step(pair)
            features.append(pair)
        return features

    def decode(
        self, features: list[Tensor], halves: tuple[Tensor, Tensor], time: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The flows of all features, last first, each in their pixels, and all fields, as `synthesise` takes them.

        Where the features are also those of frames made smaller, the coarsest decoder begins with these: what moves
        further than it sees is then not far from where it looks (one network for all sizes, as in arXiv 2103.16206).
        Levels that look `both_ways` read each pair in both orders, as two samples, and take the flows' mean. The finest
        one begins with flows that pixels may have taken over from `neighbours`, as both frames at its size, the
        halves, have it: sharp where coarser levels smeared them.
        Times are (N, 1, 1, 1).
        """
        samples = time.shape[0]
        flow = torch.zeros(samples, 4, *features[-1].shape[2:], device=features[-1].device)
        coarsest, glances = self.decoders[-1], len(features) - LEVELS
        order = [*repeat(coarsest, glances), *reversed(self.decoders)]
        carried, outputs, flows = None, flow, list[Tensor]()
        for number, (decoder, seen) in enumerate(zip(order, reversed(features), strict=True)):
            if flows:
                height, width = seen.shape[2:]
                flow = 2 * enlarged(flows[-1], 2)[..., :height, :width]
            if decoder is self.decoders[0]:
                flow = propagated(*halves, flow, self.config.neighbours)
            known = None if decoder is coarsest else carried
            if number < glances + self.config.both_ways:
                when = torch.cat((time, 1 - time))
                flow = torch.cat((flow, turned(flow)))
                first, second = seen.chunk(2)
                carried, outputs = decoder(torch.cat((first, second, second, first)), known, flow, when)
                one, other = refined(flow, outputs, when).chunk(2)
                flows.append((one + turned(other)) / 2)
            else:
                carried, outputs = decoder(seen, None if known is None else known[:samples], flow, time)
                flows.append(refined(flow, outputs, time))
        said = outputs[:samples]
        return flows, fields(said, flows[-1], time, self.config.taps, self.config.kernel_normalisation)

    def apply(self, first: Tensor, second: Tensor, estimate: Estimate) -> Tensor:  # type: ignore[override]
        """Make whole frames (N, 3, H, W) of what `estimate` says of them, differentiable."""
        height, width = first.shape[2:]
        places = slice(0, height), slice(0, width)
        deviation = estimate.statistics.deviation
        given = first, second, estimate.said, 2 * estimate.scale, *places, deviation
        return synthesise_plainly(*given, resampling=self.config.resampling)

    def _compile(self, channels: int, scale: int) -> None:
        """Have what makes such frames on the CPU compiled side by side, once, not one after another as it is needed."""
        kind = self.config, self._type, channels, scale
        if kind in _compiled:
            return
        _compiled.add(kind)

        def tiny(count: int, depth: int, factor: int, dtype: torch.dtype = torch.float32) -> Tensor:
            size = max(1, self.stride // factor), max(1, TINY * self.stride // factor)
            return torch.zeros(count, depth, *size, dtype=dtype).contiguous(memory_format=torch.channels_last)

        config, time = self.config, torch.full((1, 1, 1, 1), 0.5)
        frame, read = tiny(1, channels, 1).repeat(1, 1, scale, scale), tiny(1, 3, 2)
        said = tiny(1, 8 + 4 * config.taps, 2).contiguous()

        def decode(level: int) -> None:
            factor = 2 << level
            carried = config.hidden[level + 1] if level + 1 < LEVELS else 0
            seen, flow = tiny(2, config.widths[level], factor, self._type), tiny(1, 4, factor).contiguous()
            self.decoders[level](seen, tiny(1, carried, 2 * factor, self._type) if carried else None, flow, time)

        side_by_side(
            lambda: self.decoders[0].body[1](tiny(1, config.hidden[0], 2, self._type)),  # type: ignore[index,operator]
            *(partial(decode, level) for level in reversed(range(LEVELS))),
            lambda: propagated(read, read, said[:, :4], config.neighbours),
            lambda: confidence(read, read, said, config.taps),
            lambda: local_difference(frame, frame, 2 * scale, (read.shape[2], read.shape[3])),
            lambda: synthesise(
                frame,
                frame,
                said,
                2 * scale,
                slice(0, 1),
                slice(0, TINY),
                torch.ones(1, 1, 1, 1),
                resampling=config.resampling,
            ),
            lambda: fields(
                tiny(1, said.shape[1], 2, self._type), said[:, :4], time, config.taps, config.kernel_normalisation
            ),
            lambda: reduced(frame[:, :3], scale),
            lambda: reduced(tiny(1, 3, 1), 2),
        )

    @property
    def _type(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _times(self, time: Tensor | float, first: Tensor) -> Tensor:
        if not isinstance(time, Tensor):  # made on the device: CUDA graphs capture no copies from the host
            return torch.full((first.shape[0], 1, 1, 1), time, dtype=torch.float32, device=first.device)
        return time.to(first.device, torch.float32).expand(first.shape[0]).view(-1, 1, 1, 1)

    def _initialise(self) -> None:
        """He's normal initialisation for leaky ReLU; heads start small."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for decoder in self.decoders:
            with torch.no_grad():
                decoder.head.weight[:4] *= HEAD_GAIN  # type: ignore[union-attr,index,operator]
                decoder.head.weight[4:] *= DETAIL_GAIN  # type: ignore[union-attr,index,operator]


def scale_for(height: int, width: int) -> int:
    """How many times smaller frames are read: as often halved as makes the shorter side `MOST_ROWS` at most."""
    scale = 1
    while min(height, width) > MOST_ROWS * scale:
        scale *= 2
    return scale


def halvings(usual: int, scale: int) -> int:
    """How often frames read larger than usual are halved before they are as small as usual."""
    return max(0, usual.bit_length() - scale.bit_length())


def turned(flow: Tensor) -> Tensor:
    """Flows to the first and to the second frame, (N, 4, h, w), as they are when the second frame comes first."""
    return torch.cat(flow.chunk(2, dim=1)[::-1], dim=1)
