"""Formats of decoded sound, and the choice of encoder, rate and channel layout for the result.

PyAV 18 has two bugs that crash the interpreter; this module and `sound` work around them:

- The list of planes of a planar frame with 8 or more channels is read past its end. Only packed
  frames are converted to arrays.
- Channel layouts with a custom order are freed twice, once with the frame and once with its layout
  object. The layout object of such a frame is never released.
"""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av

ENCODERS = {
    "webm": ("libopus",),
    "mp4": ("aac",),
    "mov": ("aac", "pcm"),
    "matroska": ("aac", "pcm"),
    "avi": ("aac",),
    "mpegts": ("aac",),
}
"""Encoders for each container, the preferred one first; PCM is for channel counts that AAC does not
support, and for PCM of other forms."""
LINEAR_PCM = re.compile(r"pcm_([suf]\d.*|bluray|dvd)")
"""FFmpeg's names of uncompressed sound."""
WIDE_FORMATS = ("s32", "flt", "dbl", "s64")
"""Samples of more than 16 bits."""
DEFAULT_LAYOUTS = {
    1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1",
    16: "hexadecagonal", 24: "22.2",
}  # fmt: skip
"""FFmpeg's default layouts by the number of channels, for sound without a layout."""
OTHER_LAYOUTS = {3: "3.0", 4: "quad"}
"""Alternative layouts by the number of channels, for encoders that do not support the default."""
SMALLER_LAYOUTS = ("7.1", "5.1", "stereo", "mono")
COMMON_LAYOUTS = (
    "mono",
    "stereo",
    "2.1",
    "3.0",
    "4.0",
    "quad",
    "5.0",
    "5.1",
    "5.1(side)",
    "6.1",
    "7.1",
)
"""Layouts to which sound with a custom channel order may be converted."""
MIN_RATE = 16000
"""Samples per second; at lower rates an AAC packet is so long that the encoder delay is audible."""
UNKNOWN_LAYOUT = re.compile(r"(\d+) channels")
CUSTOM_ORDER = re.compile(r"channels \(|@|ambisonic|channels$")
"""Names of layouts that may have a custom list of channels."""

_never_release = ctypes.pythonapi.Py_IncRef
_never_release.argtypes = [ctypes.py_object]
_never_release.restype = None


@dataclass(frozen=True)
class SoundFormat:
    """Format of decoded samples."""

    rate: int
    """Samples per second of each channel."""
    sample_format: str
    layout: str
    """FFmpeg's name of the channel layout, the default one of the number of channels where none is
    stated."""
    channels: int

    @property
    def ambisonic(self) -> bool:
        return self.layout.startswith("ambisonic")

    @property
    def has_custom_order(self) -> bool:
        """Return whether the channels have a custom order."""
        return "channels (" in self.layout

    @property
    def has_unknown_layout(self) -> bool:
        """Return whether the positions of the channels are unknown."""
        return bool(UNKNOWN_LAYOUT.fullmatch(self.layout))


@dataclass(frozen=True)
class SoundEncoding:
    """Encoder, rate and layout of the re-encoded sound."""

    encoder: str
    rate: int
    layout: str
    channels: int


def decode_sound(context: Any, packet: av.Packet | None) -> list[Any]:
    """Return the frames of a packet; with None flush the decoder.

    Raises:
        av.FFmpegError: the packet cannot be decoded.
    """
    frames = context.decode(packet)
    for frame in frames:
        if CUSTOM_ORDER.search(frame.layout.name):
            _never_release(frame.layout)
    return [
        frame
        for frame in frames
        if frame.samples and frame.sample_rate > 0 and frame.layout.nb_channels
    ]


def format_of(frame: Any) -> SoundFormat:
    """Return the format of a decoded frame."""
    return _format(frame.sample_rate, frame.format.name, frame.layout)


def stated_format(context: Any) -> SoundFormat | None:
    """Return the format that a decoder states for its samples; None if it states none."""
    layout = context.layout
    _never_release(layout)
    if context.sample_rate <= 0 or layout.nb_channels <= 0:
        return None
    return _format(context.sample_rate, context.format.name if context.format else "fltp", layout)


def _format(rate: int, sample_format: str, layout: Any) -> SoundFormat:
    name = layout.name
    if UNKNOWN_LAYOUT.fullmatch(name):
        name = DEFAULT_LAYOUTS.get(layout.nb_channels, name)
    return SoundFormat(rate, sample_format, name, layout.nb_channels)


@lru_cache(maxsize=64)
def choose_sound_encoding(container: str, sound: SoundFormat, codec: str = "") -> SoundEncoding:
    """Choose the encoding for a container that preserves the most channels: all of them, otherwise
    the next smaller layout.

    Args:
        container: FFmpeg's name of the container.
        sound: to encode.
        codec: FFmpeg's name of its codec; PCM is encoded as PCM if the container can hold it.

    Raises:
        ValueError: no encoder of the container supports any of the layouts.
    """
    names = sorted(ENCODERS[container], key="pcm".__ne__) if LINEAR_PCM.fullmatch(codec) else ()
    encoders = [_encoder_name(name, sound) for name in names or ENCODERS[container]]
    candidates = [(encoder, layout) for encoder in encoders for layout in _full_layouts(sound)]
    candidates += [(encoders[0], layout) for layout in _smaller_layouts(sound)]
    for encoder, layout in candidates:
        rate = _nearest_rate(encoder, sound.rate)
        if _opens(encoder, rate, layout):
            return SoundEncoding(encoder, rate, layout, av.AudioLayout(layout).nb_channels)
    raise ValueError(f"{sound.channels} channels of sound cannot be encoded for {container}")


def _full_layouts(sound: SoundFormat) -> list[str]:
    """Return the layouts that hold all channels of a sound, the preferred one first."""
    layouts = []
    if sound.has_unknown_layout or not CUSTOM_ORDER.search(sound.layout):
        layouts.append(sound.layout)
    if sound.has_custom_order:
        names = _channel_names(sound.layout)
        layouts += [each for each in COMMON_LAYOUTS if _channel_names(each) == names]
    if not sound.ambisonic:
        layouts.append(DEFAULT_LAYOUTS.get(sound.channels, f"{sound.channels} channels"))
    if layouts and sound.channels in OTHER_LAYOUTS:
        layouts.append(OTHER_LAYOUTS[sound.channels])
    return layouts


def _smaller_layouts(sound: SoundFormat) -> list[str]:
    """Return the layouts to which a sound is mixed if no encoder holds all its channels."""
    if sound.ambisonic or sound.has_unknown_layout:
        return ["stereo"]
    return [each for each in SMALLER_LAYOUTS if av.AudioLayout(each).nb_channels < sound.channels]


def pan_arguments(sound: SoundFormat, encoding: SoundEncoding) -> str | None:
    """Return arguments of FFmpeg's `pan` filter for layouts that its resampler cannot mix, or None.

    Ambisonic sound is converted to stereo by two cardioids that face left and right.
    """
    if sound.ambisonic and encoding.layout == "stereo":
        return "stereo|FL=0.5*c0+0.5*c1|FR=0.5*c0-0.5*c1"
    if sound.has_unknown_layout and encoding.channels != sound.channels:
        return cyclic_mix(sound, encoding)
    return None


def cyclic_mix(sound: SoundFormat, encoding: SoundEncoding) -> str:
    """Return arguments of `pan` that distribute the channels of the source cyclically over those of
    the result."""
    terms = [encoding.layout]
    for number in range(encoding.channels):
        sources = range(number, sound.channels, encoding.channels) or [0]
        terms.append(f"c{number}<" + "+".join(f"c{each}" for each in sources))
    return "|".join(terms)


def _encoder_name(name: str, sound: SoundFormat) -> str:
    if name != "pcm":
        return name
    return "pcm_s24le" if sound.sample_format.startswith(WIDE_FORMATS) else "pcm_s16le"


def _channel_names(layout: str) -> list[str]:
    """Return the sorted channel names of a layout; a custom order is parsed from its name, because
    PyAV cannot represent it."""
    if "(" in layout and "channels" in layout:
        return sorted(layout.partition("(")[2].rstrip(")").split("+"))
    return sorted(channel.name for channel in av.AudioLayout(layout).channels)


def _nearest_rate(encoder: str, rate: int) -> int:
    """Return the lowest sample rate of the encoder that preserves all frequencies, or its highest
    rate."""
    offered: list[int] = sorted(av.Codec(encoder, "w").audio_rates or [])
    if encoder == "libopus" or not offered:
        return offered[-1] if offered else rate
    usable = [each for each in offered if each >= MIN_RATE]
    return next((each for each in usable if each >= rate), usable[-1])


def _opens(encoder: str, rate: int, layout: str) -> bool:
    try:
        context: Any = av.CodecContext.create(encoder, "w")
        context.sample_rate = rate
        context.layout = layout
        context.time_base = Fraction(1, rate)
        context.format = context.codec.audio_formats[0]
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def chunk_lengths(total: int, longest: int) -> Iterator[int]:
    """Yield lengths up to `longest` whose sum is `total`."""
    while total > 0:
        yield min(total, longest)
        total -= longest
