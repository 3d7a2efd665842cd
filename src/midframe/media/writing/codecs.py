"""Common names of codecs, and FFmpeg's encoders for them."""

from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.containers import CODEC_SUFFIXES, supported_codecs

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
"""FFmpeg's encoders, by codec. Names of FFmpeg's encoders are accepted too."""
ALIASES = {
    "x264": "h264",
    "avc": "h264",
    "h265": "hevc",
    "x265": "hevc",
    "svt-av1": "av1",
    "svtav1": "av1",
}
"""Further names of codecs."""


def encoder_name(codec: str) -> str:
    """Return FFmpeg's name of the encoder of a codec; other names are returned unchanged."""
    name = codec.lower()
    return ENCODERS.get(ALIASES.get(name, name), codec)


def check_codec(container: Any, suffix: str, encoder: str) -> None:
    """Check that an open output container supports the codec of an encoder.

    Raises:
        VideoError: it does not; the text lists the supported codecs.
    """
    name = av.Codec(encoder, "w").canonical_name
    supported = supported_codecs(container)
    if name not in supported:
        known = ", ".join(codec for codec in ENCODERS if codec in supported)
        raise VideoError(
            f"{suffix} files cannot hold {name}, only {known}: choose one with --codec, or name an "
            f"OUT of {CODEC_SUFFIXES.get(name, '.mkv')}"
        )
