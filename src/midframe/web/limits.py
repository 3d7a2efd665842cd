"""Probing of uploads before any work."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from PIL import Image, UnidentifiedImageError

from midframe.errors import OptionError, SourceError
from midframe.media.colour.geometry import geometry_of
from midframe.media.pictures.decoding import read_image_format
from midframe.media.pictures.picture import HDR_TRANSFERS
from midframe.media.reading.frame_rate import SourceRate
from midframe.media.reading.source import FrameSource
from midframe.media.reading.sources import open_source
from midframe.media.reading.video_file import file_url, find_video_stream
from midframe.options import SourceOptions, VideoOptions
from midframe.video.timeline import choose_timeline, estimate_frames
from midframe.web.options import THE_FILE, Limits

CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,gif,apng,mxf,yuv4mpegpipe"
"""FFmpeg demuxers that uploads are opened with: only those that never open further files or
addresses."""
PICTURES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
    "PSD": "image/vnd.adobe.photoshop",
    "QOI": ".qoi",
    "TGA": ".tga",
    "MPO": "image/jpeg",
}
"""Formats of pictures by Pillow's names, as browsers name them or by their suffixes. Others that
Pillow reads are refused: EPS would start Ghostscript."""
PICTURE_CONTAINERS = "mov,dpx_pipe,jpegxl_pipe"
"""FFmpeg demuxers of pictures that Pillow does not read; the first is that of HEIC."""
MEDIA_TYPES = {
    "mov": "video/mp4",
    "matroska": "video/webm",
    "webm": "video/webm",
    "gif": "image/gif",
    "apng": "image/apng",
}
"""Media types by FFmpeg's name of the container; browsers do not play other containers."""
UNPLAYABLE = "application/octet-stream"


@dataclass(frozen=True)
class VideoFacts:
    """Facts about an uploaded video."""

    width: int
    """Upright, in pixels."""
    height: int
    frames: int
    duration: Fraction
    """In seconds."""
    source_rate: SourceRate
    rate: Fraction
    """Frames per second."""
    time_base: Fraction
    sound: str
    """Codec of the first sound stream; empty if there is none."""
    hdr: bool
    interlaced: bool
    size: int
    """Bytes of the file."""
    media_type: str
    """For browsers."""

    @property
    def seconds(self) -> float:
        """Return the duration in seconds."""
        return float(self.duration)


@dataclass(frozen=True)
class PictureFacts:
    """Facts about an uploaded picture."""

    width: int
    height: int
    media_type: str = UNPLAYABLE
    """Browsers get previews only."""


def probe_video(path: Path, limits: Limits) -> VideoFacts:
    """Return the facts about a video; of its frames only the first is decoded.

    Args:
        path: of the upload.
        limits: of uploads.

    Raises:
        SourceError: it is not a video, or exceeds the limits.
    """
    limits.check_bytes(path.stat().st_size)
    sound, media_type = _check_container(path, limits)
    with open_source(path, SourceOptions()) as source:
        return _facts(source, path, limits, sound, media_type)


def _check_container(path: Path, limits: Limits) -> tuple[str, str]:
    """Check a container; return the codec of its first sound stream and its media type."""
    refusal = f"{THE_FILE} cannot be opened as a video: MP4, MKV, WebM, MOV, AVI, TS and GIF can"
    with _open(path, CONTAINERS, limits, refusal) as container:
        if container.duration:
            limits.check_length(container.duration / av.time_base)
        names = str(container.format.name).split(",")
        media_type = next((MEDIA_TYPES[name] for name in names if name in MEDIA_TYPES), UNPLAYABLE)
        sounds = [each.codec_context.codec.canonical_name for each in container.streams.audio]
    return sounds[0] if sounds else "", media_type


@contextmanager
def _open(path: Path, demuxers: str, limits: Limits, refusal: str) -> Iterator[InputContainer]:
    """Open a file with some of FFmpeg's demuxers, and check the size of its frames.

    Raises:
        SourceError: none of them opens it, with the text `refusal`; or the frames are too large.
    """
    options = {"format_whitelist": demuxers, "protocol_whitelist": "file"}
    try:
        container = av.open(file_url(path), options=options)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise SourceError(refusal) from error
    with container:
        stream = find_video_stream(container, Path(THE_FILE))
        limits.check_size(stream.codec_context.width, stream.codec_context.height)
        yield container


def _facts(
    source: FrameSource, path: Path, limits: Limits, sound: str, media_type: str
) -> VideoFacts:
    picture, _ = source.first_picture()
    size = picture.width, picture.height
    width, height = size[::-1] if geometry_of(picture, "", None).swaps_sides else size
    frames = round(source.expected_frames or 0)
    facts = VideoFacts(
        width=width,
        height=height,
        frames=frames,
        duration=frames / source.rate if source.end is None else source.end - source.start,
        source_rate=source.source_rate,
        rate=source.rate,
        time_base=source.time_base,
        sound=sound,
        hdr=int(picture.color_trc) in HDR_TRANSFERS,
        interlaced=bool(picture.interlaced_frame),
        size=path.stat().st_size,
        media_type=media_type,
    )
    limits.check_size(facts.width, facts.height)
    limits.check_length(facts.seconds)
    return facts


def probe_picture(path: Path, limits: Limits) -> PictureFacts:
    """Return the facts about a picture; one that Pillow or libheif reads is not decoded. Arguments
    and errors as of `probe_video`."""
    limits.check_bytes(path.stat().st_size)
    refusal = f"{THE_FILE} cannot be read as an image: {', '.join(PICTURES)} can"
    try:
        # all formats, as in the work: a file that two formats accept must not change its format
        with path.open("rb") as file, Image.open(file) as image:
            if image.format not in PICTURES:
                raise SourceError(refusal)
            limits.check_size(*image.size)
    except UnidentifiedImageError:
        with _open(path, PICTURE_CONTAINERS, limits, refusal):
            pass
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(refusal) from error
    form = read_image_format(path)
    limits.check_size(form.width, form.height)  # of the image, where the stream is a tile of it
    return PictureFacts(form.width, form.height)


def count_frames(facts: VideoFacts, options: VideoOptions) -> tuple[int, int]:
    """Estimate the number of frames of a result, and how many of them are interpolated.

    Args:
        facts: of the source.
        options: of the result.

    Raises:
        OptionError: the start is not within the source.
    """
    start, end = options.source.seconds
    if start >= facts.seconds:
        raise OptionError(f"`start` is {start:g}, the video ends at {facts.seconds:g} seconds")
    last = facts.duration if end is None else min(facts.duration, Fraction(end))
    seconds = last - Fraction(start)
    count = round(facts.frames * seconds / facts.duration)
    timeline = choose_timeline(facts.source_rate, facts.time_base, options.retiming)
    return estimate_frames(count, facts.rate, timeline, seconds)
