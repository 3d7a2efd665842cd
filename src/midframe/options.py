"""Options of interpolation and of videos: immutable values that check themselves.

`Interpolator`, `interpolate_video`, `compare_video` and the command line read their defaults here.
A class attribute is the default of its field: `EncodingOptions.crf` is 18.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Real
from typing import Any, Literal, get_args

from midframe.defaults import DEFAULT_MODEL
from midframe.errors import OptionError
from midframe.rates import Rate, parse_factor, parse_rate
from midframe.times import Time, parse_seconds

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Number format that the network computes in."""
EnsembleSize = Literal[1, 2, 4, 8]
"""Number of views of a self-ensemble."""
CutMode = Literal["hold", "nearest", "blend"]
"""What is shown between the last frame of a scene and the first frame of the next."""
DEVICE_NAME = r"(auto|cpu|mps|cuda(:\d+)?)"
DEVICE = re.compile(f"{DEVICE_NAME}(, *{DEVICE_NAME})*")
"""Names of devices; whether a device is available is checked where it is chosen."""
DEFAULT_FACTOR = 2
"""Multiple of the source's frame rate if neither `factor` nor `fps` nor `slow` is given."""
MAX_SLOW = 1000
"""Largest factor of slow motion."""
MAX_CUT_THRESHOLD = 100.0
"""Largest score of FFmpeg's scene change detection."""
QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {"model": "flowsep-small", "crf": 23},
    "standard": {},
    "best": {"ensemble": 4, "crf": 12},
}
"""Values of options by the name of a quality; others keep their defaults."""
QUALITY_CRFS = frozenset(each["crf"] for each in QUALITIES.values() if "crf" in each)
"""Values of `crf` that a quality sets: they were not chosen for a result that does not use it."""
SAME_FRAMES: Mapping[str, Any] = {"same_frames": True}
"""Metadata of fields that do not change the frames of a result: `fingerprint` omits them."""
FINGERPRINT_VERSION = 2
"""Increased when fingerprints of earlier versions can no longer be compared."""


def check_time_range(start: float, end: float | None) -> None:
    """Raise an OptionError unless 0 <= `start` < `end`, in seconds; an `end` of None is the end of
    the video."""
    if not start >= 0:
        raise OptionError(f"`start` is {start:.12g}: 0 or more seconds are needed")
    if end is not None and not end > start:
        raise OptionError(
            f"`end` is {end:.12g} and `start` is {start:.12g}: the end must be later than the start"
        )


@dataclass(frozen=True)
class InterpolationOptions:
    """How frames are interpolated."""

    # jobs store `Interpolator.identity`, a hash of the weights, instead of the name
    model: str = field(default=DEFAULT_MODEL, metadata=SAME_FRAMES)
    """Name or file of weights."""
    device: str = field(default="auto", metadata=SAME_FRAMES)
    """"cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest one available; "cuda:0,cuda:1"
    deals the frames out to several GPUs."""
    tile: int | None = None
    """Side in pixels of the tiles that large frames are divided into; None for the network's
    default, 0 for no tiles. Memory grows with the tile, not with the frame."""
    scale: int | None = None
    """Divisor of the resolution at which a multi-scale network processes frames, a power of two;
    None to choose it by the size of the frames."""
    ensemble: EnsembleSize = 1
    """Number of rotated and mirrored views whose results are averaged (self-ensemble): 8 views give
    better results and take 8 times as long."""
    precision: Precision = "auto"
    """Number format; "auto" is float16 on CUDA, bfloat16 on processors with bfloat16 instructions,
    else float32."""
    depth: int = 4
    """How many times the interval between two frames is halved at most, by a network that
    interpolates the middle only: times are exact to 1 / 2**(depth + 1) of the interval."""

    def __post_init__(self) -> None:
        if not DEVICE.fullmatch(str(self.device)):
            raise OptionError(
                f"`device` is {self.device!r}, which is not available: choose from auto, cpu, "
                "cuda, cuda:1, mps"
            )
        _replace(self, device=str(self.device))  # of a torch.device
        for name in ("tile", "scale", "depth"):
            if getattr(self, name) is not None:
                _replace(self, **{name: _whole(name, getattr(self, name))})
        if self.tile is not None and self.tile < 0:
            raise OptionError(f"`tile` is {self.tile}: 0 or more pixels are needed")
        if self.scale is not None and (self.scale < 1 or self.scale & (self.scale - 1)):
            raise OptionError(f"`scale` is {self.scale}: 1, 2, 4 or another power of two is needed")
        if self.depth < 1:
            raise OptionError(f"`depth` is {self.depth}: 1 or more is needed")
        _check_choice("ensemble", self.ensemble, EnsembleSize)
        _check_choice("precision", self.precision, Precision)


@dataclass(frozen=True)
class RetimingOptions:
    """Which frames a result shows, and when."""

    factor: Rate | None = None
    """Multiple of the source's frame rate, as in 2 or "2.5"; 2 if None and neither `fps` nor `slow`
    is given."""
    fps: Rate | None = None
    """Frames per second of the result, as in 60, "60000/1001" or "59.94"."""
    slow: Rate | None = None
    """How many times longer the result is, from 1; sound is stretched at its pitch."""
    vfr: bool = False
    """Show every source frame at its own time, and `factor` - 1 frames at equal steps between two
    of them."""
    cut: CutMode = "hold"
    """What is shown across a cut: the frame before it ("hold"), the nearest frame, or a blend of
    both."""
    dedup: bool = False
    """Replace frames that duplicate the one before them by interpolated ones."""
    overlays: bool = True
    """Keep the samples of logos and subtitles that are static in front of a moving image."""

    def __post_init__(self) -> None:
        if self.factor is not None and self.fps is not None:
            raise OptionError(
                f"`factor` is {self.factor} and `fps` is {self.fps}: only one of them can be given"
            )
        if self.factor is not None:
            _replace(self, factor=parse_factor(self.factor))
        if self.vfr and isinstance(self.factor, Fraction) and self.factor.denominator > 1:
            raise OptionError(
                f"`factor` is {self.factor} and `vfr` is set: a whole number is needed with vfr"
            )
        if self.vfr and self.fps is not None:
            raise OptionError(f"`fps` is {self.fps} and `vfr` is set: use `factor` with `vfr`")
        if self.fps is not None:
            _replace(self, fps=parse_rate(self.fps))
        if self.slow is not None:
            _replace(self, slow=_parse_slow(self.slow))
        _check_choice("cut", self.cut, CutMode)
        _check_flags(self, "vfr", "dedup", "overlays")


@dataclass(frozen=True)
class SourceOptions:
    """Which part of a source is read, and how."""

    start: Time = 0.0
    """Start time, counted from the first frame: seconds, m:s or h:m:s, as in 90 or "1:30"."""
    end: Time | None = None
    """End time, counted from the first frame; None for the end of the video."""
    source_fps: Rate | None = None
    """Frames per second of an image sequence, which has no rate of its own; 25 if None."""
    deinterlace: bool = False
    """Convert interlaced frames to progressive ones."""
    cut_threshold: float = 10.0
    """Scene change score, from 0 to 100, from which a change counts as a cut (FFmpeg's default); 0
    for no cuts."""
    strict: bool = field(default=False, metadata=SAME_FRAMES)
    """Refuse a damaged source. Otherwise damage is bridged, and reported with its times."""
    hwaccel: str | None = field(default=None, metadata=SAME_FRAMES)
    """Type of the device that decodes, by FFmpeg's names, as in "cuda"; None for the processor. The
    samples are the same."""

    def __post_init__(self) -> None:
        _check_flags(self, "deinterlace", "strict")
        start = parse_seconds(self.start, "start")
        end = None if self.end is None else parse_seconds(self.end, "end")
        check_time_range(start, end)
        _replace(self, start=start, end=end)
        if not isinstance(self.cut_threshold, Real):
            raise OptionError(f"`cut_threshold` is {self.cut_threshold!r}: a number is needed")
        if not 0 <= self.cut_threshold <= MAX_CUT_THRESHOLD:
            raise OptionError(
                f"`cut_threshold` is {self.cut_threshold}: 0 to {MAX_CUT_THRESHOLD:g} is needed"
            )
        _replace(self, cut_threshold=float(self.cut_threshold))  # 10 is 10.0 in a fingerprint
        if self.source_fps is not None:
            _replace(self, source_fps=parse_rate(self.source_fps, "source_fps"))

    @property
    def seconds(self) -> tuple[float, float | None]:
        """Return the start and the end in seconds; the end is None for the end of the video."""
        end = None if self.end is None else parse_seconds(self.end)
        return parse_seconds(self.start), end


@dataclass(frozen=True)
class EncodingOptions:
    """How a result is encoded, and whether it has sound."""

    codec: str | None = None
    """h264, hevc, av1, vp9, prores, ffv1 or an encoder of FFmpeg; None for vp9 in .webm files and
    h264 in others."""
    crf: int = 18
    """Constant quality of the encoder; smaller values give better quality and larger files."""
    preset: str | None = None
    """The encoder's preset, a trade-off of speed and size."""
    encoder_options: Mapping[str, str] | None = None
    """Further options of the encoder, by FFmpeg's names."""
    mute: bool = field(default=False, metadata=SAME_FRAMES)
    """Drop sound."""

    def __post_init__(self) -> None:
        _check_flags(self, "mute")
        _replace(self, crf=_whole("crf", self.crf))
        if isinstance(self.preset, int):  # those of SVT-AV1 are numbers
            _replace(self, preset=str(self.preset))
        if not isinstance(self.encoder_options, Mapping | None):
            raise OptionError(
                f"`encoder_options` is {self.encoder_options!r}: names and texts are needed, as in "
                '{"aq-mode": "3"}'
            )
        for name, value in (self.encoder_options or {}).items():
            if not name or not isinstance(value, str):
                raise OptionError(
                    f"`encoder_options` holds {name!r}: {value!r}: a name and a text are needed"
                )

    @property
    def states_crf(self) -> bool:
        """Return whether `crf` was chosen for this result, not by its default or by a quality."""
        return self.crf not in (EncodingOptions.crf, *QUALITY_CRFS)


@dataclass(frozen=True)
class CompareOptions:
    """What a comparison video shows."""

    factor: int = 2
    """Multiple of the source's frame rate on the right-hand side."""
    slower: int = 4
    """Factor by which playback is slowed."""

    def __post_init__(self) -> None:
        for name in ("factor", "slower"):
            if getattr(self, name) < 1:
                raise OptionError(f"`{name}` is {getattr(self, name)}: 1 or more is needed")
        if self.slower > MAX_SLOW:
            raise OptionError(f"`slower` is {self.slower}: 1 to {MAX_SLOW} is needed")


@dataclass(frozen=True)
class VideoOptions:
    """All options of a video except those of interpolation."""

    retiming: RetimingOptions = field(default_factory=RetimingOptions)
    source: SourceOptions = field(default_factory=SourceOptions)
    encoding: EncodingOptions = field(default_factory=EncodingOptions)


def fingerprint(*options: Any) -> dict[str, Any]:
    """Return all options that affect the frames of a result, by field name, as JSON values.

    Args:
        options: dataclasses of this module, whose fields have different names.
    """
    found = {
        each.name: _to_json(getattr(group, each.name))
        for group in options
        for each in fields(group)
        if not each.metadata.get("same_frames")
    }
    return canonical_fingerprint({"version": FINGERPRINT_VERSION, **found})


def canonical_fingerprint(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fingerprint, which may have been stored before, with one value for options that mean
    the same: no encoder options and an empty mapping, and no factor and the default one."""
    changed: dict[str, Any] = {}
    if "encoder_options" in found:
        changed["encoder_options"] = found["encoder_options"] or {}
    if found.get("factor") == DEFAULT_FACTOR and not (found.get("fps") or found.get("slow")):
        changed["factor"] = None
    return {**found, **changed}


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, Fraction) else value


def _check_choice(name: str, value: object, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise OptionError(f"`{name}` is {value!r}: choose from {', '.join(map(str, allowed))}")


def _check_flags(options: object, *names: str) -> None:
    """Raise an OptionError unless the fields are true or false, also as 1 or 0: "no" is true in
    Python."""
    for name in names:
        value = getattr(options, name)
        if value not in (0, 1):
            raise OptionError(f"`{name}` is {value!r}: True or False is needed")
        _replace(options, **{name: bool(value)})  # 1 is true in a fingerprint


def _whole(name: str, value: Any) -> int:
    """Return a whole number, which may be of another type, as 18.0; it is the same in a
    fingerprint."""
    number: Any = value if isinstance(value, Real) else None
    if number is None or isinstance(number, bool) or number != number // 1:
        raise OptionError(f"`{name}` is {value!r}: a whole number is needed")
    return int(number)


def _parse_slow(slow: Rate) -> Fraction:
    try:
        exact = Fraction(slow if isinstance(slow, Fraction) else str(slow))
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(f"`slow` is {slow!r}: a number is needed, as in 4 or 2.5") from error
    if not 1 <= exact <= MAX_SLOW:
        raise OptionError(f"`slow` is {slow}: 1 to {MAX_SLOW} is needed")
    return exact


def _replace(options: object, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is built."""
    for name, value in values.items():
        object.__setattr__(options, name, value)
