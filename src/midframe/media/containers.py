"""The containers of results: their endings, the codecs that they hold, and the codec that is chosen
for each."""

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
"""FFmpeg's names of the containers, by the endings of files."""
DEFAULT_CODECS = {".webm": "vp9"}
"""Of containers that cannot hold the default of the others."""
DEFAULT_CODEC = "h264"
CONTAINER_OPTIONS = {
    ".mp4": {"movflags": "+faststart"},
    ".m4v": {"movflags": "+faststart"},
    ".mov": {"movflags": "+faststart"},
    ".m2ts": {"mpegts_m2ts_mode": "1"},
    ".mts": {"mpegts_m2ts_mode": "1"},
}
"""Options of FFmpeg's muxers."""
PLAIN_FORMATS = ("avi", "mpegts")
"""Containers that hold neither a display matrix, chapters, nor converted texts."""
IN_MILLISECONDS = ("matroska", "webm")
"""Containers whose times are whole milliseconds."""
WITHOUT_HEADER = frozenset((".avi", ".ts", ".m2ts", ".mts"))
"""Containers whose packets hold the parameter sets of the codec."""
IN_MPEG_TS = frozenset(
    (
        *("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
        *("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus"),
        *("dvb_subtitle", "dvb_teletext"),
    )
)
"""Codecs with a stream type in MPEG-TS; FFmpeg has no list of them, and writes others as data
without a type."""
NOT_IN_AVI = frozenset(("av1", "vp8", "vp9", "vorbis", "opus"))
"""Codecs that FFmpeg writes into AVI and few programs read there."""
CODEC_SUFFIXES = {"prores": ".mov", "ffv1": ".mkv"}
"""Endings of results by the codec, where .mp4 does not hold it or is unusual for it."""


def default_codec(suffix: str) -> str:
    """The codec for a container, where none is given."""
    return DEFAULT_CODECS.get(suffix.lower(), DEFAULT_CODEC)


def held_codecs(container: Any) -> frozenset[str]:
    """The codecs that an open output container holds, by FFmpeg's names."""
    if container.format.name == "mpegts":
        return IN_MPEG_TS
    return frozenset(container.supported_codecs) - (
        NOT_IN_AVI if container.format.name == "avi" else frozenset()
    )


def container_format(suffix: str) -> str:
    """FFmpeg's name of a container.

    Raises:
        VideoError: there is no such container.
    """
    try:
        return CONTAINERS[suffix.lower()]
    except KeyError as error:
        raise VideoError(
            f"{suffix or 'no ending'}: choose a name that ends in {' '.join(CONTAINERS)}"
        ) from error
