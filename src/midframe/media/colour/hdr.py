"""HDR10 static metadata: from decoded frames to options of the encoder."""

import struct
from dataclasses import dataclass

import av

from midframe.media.colour.side_data import side_data_of

CHROMATICITY = 50_000
"""Steps per unit of a chromaticity coordinate in SMPTE ST 2086 (0.00002 each)."""
LUMINANCE = 10_000
"""Steps per cd/m2 of a luminance in SMPTE ST 2086."""
OPTIONS = {
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
"""Encoders that write the metadata: the option, and its keys for the mastering display and the
content light level."""


@dataclass(frozen=True)
class HdrMetadata:
    """HDR10 static metadata: mastering display (SMPTE ST 2086) and content light level
    (CTA-861.3)."""

    mastering_display: tuple[float, ...] | None
    """Red, green and blue primaries and the white point, x before y, then minimum and maximum
    luminance; None if not stated."""
    content_light_level: tuple[int, int] | None
    """MaxCLL and MaxFALL in cd/m2; None if not stated."""


def hdr_metadata_of(frame: av.VideoFrame) -> HdrMetadata:
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
    return HdrMetadata(display, light)


def hdr_metadata_options(encoder: str, metadata: HdrMetadata) -> dict[str, str]:
    """Return the options with which an encoder of FFmpeg writes the metadata; empty if it has
    none."""
    if encoder not in OPTIONS:
        return {}
    option, display, light = OPTIONS[encoder]
    scales = (1, 1) if encoder == "libsvtav1" else (CHROMATICITY, LUMINANCE)
    values = []
    if metadata.mastering_display:
        values.append(f"{display}={_format_display(metadata.mastering_display, *scales)}")
    if metadata.content_light_level:
        max_cll, max_fall = metadata.content_light_level
        values.append(f"{light}={max_cll},{max_fall}")
    return {option: ":".join(values)} if values else {}


def lost_hdr_metadata(encoder: str, metadata: HdrMetadata) -> list[str]:
    """List the metadata that an encoder of FFmpeg cannot write."""
    if encoder in OPTIONS or metadata == HdrMetadata(None, None):
        return []
    return ["HDR10 metadata (only x264, x265 and SVT-AV1 write it)"]


def _format_display(values: tuple[float, ...], chromaticity: int, luminance: int) -> str:
    """Format the values of `HdrMetadata.mastering_display` in the steps of an encoder, given in
    steps per unit."""
    points = [value * chromaticity for value in values[:8]]
    red = _pair(points[0], points[1])
    green = _pair(points[2], points[3])
    blue = _pair(points[4], points[5])
    white = _pair(points[6], points[7])
    darkest = values[8] * luminance
    brightest = values[9] * luminance
    return f"G{green}B{blue}R{red}WP{white}L{_pair(brightest, darkest)}"


def _pair(first: float, second: float) -> str:
    return f"({round(first, 5):.10g},{round(second, 5):.10g})"
