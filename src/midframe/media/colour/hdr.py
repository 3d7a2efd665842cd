"""HDR10 metadata of the mastering display, carried from decoded frames to the encoder's options."""

import struct
from dataclasses import dataclass

import av

from midframe.media.colour.side_data import side_data_of

CHROMATICITY = 50_000
"""Steps of a coordinate in SMPTE ST 2086: 0.00002."""
LUMINANCE = 10_000
"""Steps of a luminance in SMPTE ST 2086, per candela per square metre."""


@dataclass(frozen=True)
class Mastering:
    """Mastering display metadata (SMPTE ST 2086) and content light levels (CTA-861.3)."""

    display: tuple[float, ...] | None
    """Red, green and blue primaries and the white point, x before y, then least and most luminance;
    or None."""
    light: tuple[int, int] | None
    """Luminance of the brightest pixel, and mean luminance of the brightest frame, in candelas per
    square metre; or None."""


def mastering_of(frame: av.VideoFrame) -> Mastering:
    """Read the metadata from a decoded frame."""
    found = side_data_of(frame)
    display = light = None
    if "MASTERING_DISPLAY_METADATA" in found:
        *rationals, has_primaries, has_luminance = struct.unpack(
            "<22i", found["MASTERING_DISPLAY_METADATA"]
        )
        if has_primaries and has_luminance:
            pairs = zip(rationals[::2], rationals[1::2], strict=True)
            display = tuple(numerator / denominator for numerator, denominator in pairs)
    if "CONTENT_LIGHT_LEVEL" in found:
        light = struct.unpack("<2I", found["CONTENT_LIGHT_LEVEL"])
    return Mastering(display, light)


def mastering_options(encoder: str, mastering: Mastering) -> dict[str, str]:
    """Return the options with which an encoder of FFmpeg writes it; empty for encoders without such
    options."""
    names = {
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
    if encoder not in names:
        return {}
    option, display, light = names[encoder]
    scales = (1, 1) if encoder == "libsvtav1" else (CHROMATICITY, LUMINANCE)
    parts = [f"{display}={_display(mastering.display, *scales)}"] if mastering.display else []
    parts += [f"{light}={mastering.light[0]},{mastering.light[1]}"] if mastering.light else []
    return {option: ":".join(parts)} if parts else {}


def _display(values: tuple[float, ...], chromaticity: int, luminance: int) -> str:
    scaled = [value * chromaticity for value in values[:8]] + [
        value * luminance for value in values[8:]
    ]
    red, green, blue, white = (_pair(scaled[place], scaled[place + 1]) for place in (0, 2, 4, 6))
    return f"G{green}B{blue}R{red}WP{white}L{_pair(scaled[9], scaled[8])}"


def _pair(first: float, second: float) -> str:
    return f"({round(first, 5):.10g},{round(second, 5):.10g})"
