"""Containers, streams and packets of files that FFmpeg opens."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel

from midframe.errors import SourceError, VideoError
from midframe.media.gif_blocks import has_image
from midframe.media.pictures.decoding import TEMPORARY_ERRORS

MAX_READ_ERRORS = 20
"""Consecutive read errors after which reading ends."""
FALLBACK_ENCODING = "cp1252"
"""Encoding of titles that are not UTF-8."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders of streams whose alpha FFmpeg's own decoders drop."""
NATIVE_DECODERS = {"libdav1d": "av1"}
"""FFmpeg's own decoders by the name of the default ones, which do not support devices."""
IMAGE_CODECS = frozenset(("mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpegxl"))
"""Codecs of poster images, which film cameras and capture cards may use for film, too."""
UNKNOWN_DURATION = 2**32 - 1
"""What MP4 states for a duration that is unknown (ISO/IEC 14496-12, 8.4.2.3), in ticks."""
STATES_DURATION = ("flv",)
"""Containers that state one duration for all streams."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+[^/]")
"""How a URL begins."""


def open_video(
    path: Path, stream: Any = None, *, hwaccel: HWAccel | None = None
) -> av.container.InputContainer:
    """Open a file of any container that FFmpeg reads.

    Args:
        path: of the file.
        stream: read instead of the file: an object with a method `read`, which returns up to a
            number of bytes.
        hwaccel: device that decodes; see `hardware_decoding`.

    Raises:
        SourceError: the file does not exist, cannot be opened, or is a pipe or a device, which
            cannot be read twice.
    """
    if stream is None and path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "a pipe or a device"
        raise SourceError(f"{path} is {found}: name a video file, or - for y4m in standard input")
    settings: dict[str, Any] = {"options": {"pattern_type": "none"}, "hwaccel": hwaccel}
    url = stream or file_url(path)
    try:
        try:
            container = av.open(url, **settings)
        except UnicodeDecodeError:  # titles of old files are in the code page of their maker
            encoding = {"metadata_encoding": FALLBACK_ENCODING, "metadata_errors": "replace"}
            container = av.open(url, **settings, **encoding)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: name a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"{path} cannot be opened as a video ({reason}): check that it is one, and complete"
        ) from error
    if container.format.name == "tty":  # FFmpeg would draw the characters
        container.close()
        raise SourceError(f"{path} is a text file: name a video")
    return container


def read_error(path: Path, error: av.FFmpegError) -> VideoError:
    """Return the error to raise for one of FFmpeg: a temporary error of the disk, or a damaged
    file."""
    if error.errno in TEMPORARY_ERRORS:
        return VideoError(
            f"{path} cannot be read now ({error.strerror}): check that its disk is connected"
        )
    return SourceError(f"{path} cannot be decoded ({error.strerror}): the file may be incomplete")


def file_url(path: Path) -> str:
    """Return a path as a URL for FFmpeg, which would parse a name with a colon as a URL itself."""
    return f"file:{path}"


def find_video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the video stream of a file: no cover image, and no still image beside a film. Of
    several streams it is the one that is marked as the default, otherwise the first.

    Raises:
        SourceError: there is none, or its codec is unknown; the container is then closed.
    """
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        covers = ["a cover image"] if container.streams.video else []
        found = {stream.type for stream in container.streams} - {"video"}
        types = ", ".join([*sorted(found), *covers])
        container.close()
        raise SourceError(
            f"{path} has no video stream ({f'only {types}' if types else 'no streams'}): name a "
            "video"
        )
    moving = [stream for stream in streams if not _may_be_still(stream)] or streams
    chosen = next((stream for stream in moving if _is_default(stream)), moving[0])
    if chosen.codec_context is None:
        container.close()
        raise SourceError(
            f"{path} has a video stream of an unknown codec: the file may be incomplete"
        )
    return chosen


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def _may_be_still(stream: Any) -> bool:
    """Return whether a stream may be a still image: it states one frame, or has a codec of images.
    Some programs store a poster as a video stream without marking it as a cover."""
    context = stream.codec_context
    return stream.frames == 1 or (
        context is not None and context.codec.canonical_name in IMAGE_CODECS
    )


def is_cover(stream: Any) -> bool:
    """Return whether a stream is the cover image of a file, such as a poster."""
    return stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)


def is_encrypted(packet: Any) -> bool:
    """Return whether a packet is encrypted, as in files with digital rights management (Common
    Encryption, ISO/IEC 23001-7)."""
    return bool(packet.has_sidedata("encryption_info"))


def describe_stream(container: Any, index: int) -> str:
    """Return FFmpeg's description of a stream, with the side data of the container."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # FFmpeg prints nothing below
    try:
        text = container.dumps_format() or ""
    finally:
        av.logging.set_level(level)
    blocks = re.split(r"\n\s*Stream #0:", text)
    return next((block for block in blocks[1:] if re.match(rf"{index}\D", block)), "")


def stated_end(stream: av.VideoStream) -> Fraction | None:
    """Return the end of a stream as its file states it, in seconds of the file's clock; None if it
    states none."""
    if stream.duration and stream.duration != UNKNOWN_DURATION:
        # Matroska states ends; FFmpeg may take the last frame of a slow stream for its start.
        absolute = stream.container.format.name.startswith("matroska")
        start = 0 if absolute else (stream.start_time or 0) * stream.time_base
        return Fraction(start + stream.duration * stream.time_base)
    # Matroska stores the duration as a tag
    match = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if not match:
        return None
    return Fraction(match[1]) * 3600 + Fraction(match[2]) * 60 + Fraction(match[3])


def stated_end_of_file(container: Any) -> Fraction | None:
    """Return the end of all streams as a file states it, in seconds of its clock; None if it states
    none. FFmpeg estimates the duration of most other containers."""
    if container.format.name not in STATES_DURATION or not container.duration:
        return None
    return Fraction((container.start_time or 0) + container.duration, av.time_base)


def decoder_of(stream: Any, hwaccel: HWAccel | None = None) -> Any:
    """Return the decoder of a stream: its own, or another one that preserves alpha, or that
    supports the device that the stream was opened with.

    The flag `unaligned` enables exact cropping at the left edge; by default FFmpeg's decoders round
    it for alignment.
    """
    context = stream.codec_context
    context.flags |= Flags.unaligned
    alpha = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1"
    name = ALPHA_DECODERS.get(context.codec.canonical_name) if alpha else None
    if name:
        decoder: Any = av.CodecContext.create(name, "r")
    elif hwaccel and context.codec.name in NATIVE_DECODERS:
        decoder = av.CodecContext.create(NATIVE_DECODERS[context.codec.name], "r", hwaccel=hwaccel)
    else:
        return context
    decoder.extradata = context.extradata
    return decoder


def demux(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Yield packets; after a read error, continue with the next packet that can be read."""
    errors = 0
    is_gif = container.format.name == "gif"  # a comment after the last image is a packet, too
    while True:
        try:
            for packet in container.demux(streams):
                errors = 0
                if not (is_gif and packet.size and not has_image(bytes(packet))):
                    yield packet
            return
        except IndexError:  # raised by PyAV at the end if streams appeared in the middle of a file
            return
        except av.FFmpegError as error:
            errors += 1
            if error.errno in TEMPORARY_ERRORS or errors > MAX_READ_ERRORS:
                raise


def time_of(item: Any, time_base: Fraction | None = None) -> Fraction | None:
    """Return the time of a packet or a frame in seconds; None if it has no timestamp."""
    timestamp = item.pts if item.pts is not None else item.dts
    base = time_base or item.time_base
    return None if timestamp is None or base is None else Fraction(timestamp * base)
