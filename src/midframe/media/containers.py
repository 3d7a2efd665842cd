"""The containers of results: their suffixes, the codecs that they support, and the default codec of
each."""

from typing import Any

from midframe.errors import VideoError

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
}
"""FFmpeg's names of the containers, by suffix."""
DEFAULT_CODECS = {".webm": "vp9"}
"""Default codecs of containers that do not support the general default."""
DEFAULT_CODEC = "h264"
CONTAINER_OPTIONS = {
    ".mp4": {"movflags": "+faststart"},
    ".m4v": {"movflags": "+faststart"},
    ".mov": {"movflags": "+faststart"},
    ".m2ts": {"mpegts_m2ts_mode": "1"},
    ".mts": {"mpegts_m2ts_mode": "1"},
}
"""Options of FFmpeg's muxers."""
MINIMAL_FORMATS = ("avi", "mpegts")
"""Containers without display matrix, chapters and text subtitles."""
MILLISECOND_FORMATS = ("matroska", "webm")
"""Containers whose times are whole milliseconds."""
WITHOUT_GLOBAL_HEADER = frozenset((".avi", ".ts", ".m2ts", ".mts"))
"""Containers with the parameter sets of the codec in the packets."""
MPEG_TS_CODECS = frozenset(
    (
        *("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
        *("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus"),
        "pcm_bluray",
        *("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
    )
)
"""Codecs with a stream type in MPEG-TS; FFmpeg has no such list, and muxes other codecs as private
data. TrueHD has one too, but it needs an AC-3 stream beside it in the same packets."""
UNUSUAL_IN_AVI = frozenset(("av1", "vp8", "vp9", "vorbis", "opus"))
"""Codecs that FFmpeg muxes into AVI although few players support them there."""
CODEC_SUFFIXES = {"prores": ".mov", "ffv1": ".mkv"}
"""Default suffixes of results by codec, where .mp4 does not support it or is unusual for it."""


def default_codec(suffix: str) -> str:
    """Return the default codec of a container."""
    return DEFAULT_CODECS.get(suffix.lower(), DEFAULT_CODEC)


def supported_codecs(container: Any) -> frozenset[str]:
    """Return the codecs that an open output container supports, by FFmpeg's names."""
    if container.format.name == "mpegts":
        return MPEG_TS_CODECS
    codecs = frozenset(container.supported_codecs)
    return codecs - UNUSUAL_IN_AVI if container.format.name == "avi" else codecs


def container_format(suffix: str) -> str:
    """Return FFmpeg's name of a container.

    Raises:
        VideoError: there is no such container.
    """
    try:
        return CONTAINERS[suffix.lower()]
    except KeyError as error:
        raise VideoError(
            f"{suffix or 'no ending'}: choose a name that ends in {' '.join(CONTAINERS)}"
        ) from error
