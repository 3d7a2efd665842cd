"""Opening a source: a video, an image sequence, a multi-page image file, or standard input."""

from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from midframe.errors import OptionError, VideoError
from midframe.media.reading.image_reader import ImageReader
from midframe.media.reading.image_sequence import ImageSequence, image_files
from midframe.media.reading.multi_page import ImageStack, is_stack
from midframe.media.reading.pipes import STREAM, PipeReader
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.source import FrameSource, TimeRange
from midframe.media.reading.video_file import find_video_stream, open_video
from midframe.options import SourceOptions
from midframe.rates import parse_rate

SAMPLED_BYTES = 1 << 20
"""Bytes at the start, the middle and the end of a source that identify it, with its size."""


def open_source(
    source: Path,
    options: SourceOptions,
    *,
    stores_display_matrix: bool = True,
    stores_aspect_ratio: bool = True,
) -> FrameSource:
    """Open a source of frames.

    Args:
        source: a video, an animation or a TIFF with several pages, a folder of images, a pattern
            such as `frames/%06d.png`, or "-" for standard input.
        options: which part of it is read, and how.
        stores_display_matrix, stores_aspect_ratio: as in `VideoReader`.

    Raises:
        OptionError: `source_fps` is given for a source that has its own frame times, or `hwaccel`
            for images or a pipe, or for a device that is not available.
        VideoError: it cannot be read.
    """
    time_range = TimeRange(*options.seconds)
    threshold = options.cut_threshold or None
    rate = None if options.source_fps is None else parse_rate(options.source_fps)
    shared: dict[str, Any] = {
        "strict": options.strict,
        "stores_display_matrix": stores_display_matrix,
        "stores_aspect_ratio": stores_aspect_ratio,
    }
    files = image_files(source)
    pages = files is None and is_stack(source)
    if options.hwaccel and (files is not None or pages or source == STREAM):
        raise OptionError(f"`hwaccel` is for video files, and {source} is not one: drop `hwaccel`")
    if files is not None:
        images = ImageSequence(source, files, rate)
        return ImageReader(source, images, threshold, time_range, **shared)
    if pages:
        return ImageReader(source, ImageStack(source, rate), threshold, time_range, **shared)
    if rate is not None:
        raise OptionError(
            f"`source_fps` is {rate}, but {source} has its own frame times: drop `source_fps`"
        )
    shared["deinterlace"] = options.deinterlace
    if source == STREAM:
        return PipeReader(source, threshold, time_range, **shared)
    return VideoReader(source, threshold, time_range, hwaccel=options.hwaccel, **shared)


def check_source(source: Path) -> None:
    """Check that a source exists and has a video stream, without reading its frames.

    Raises:
        VideoError: it does not, or it cannot be opened.
    """
    if source == STREAM or image_files(source) is not None:
        return
    if is_stack(source):
        return
    with open_video(source) as container:
        find_video_stream(container, source)


def identity_of(source: Path) -> dict[str, Any]:
    """Return the size of a source and a hash of samples of its bytes; 0 and the hash of no data for
    standard input."""
    digest, total = sha256(), 0
    files = image_files(source)
    for path in ([source] if source.is_file() else []) if files is None else files:
        size = path.stat().st_size
        total += size
        with path.open("rb") as file:
            add_samples(digest, file, size)
    return {"size": total, "sha256": digest.hexdigest()}


def changes_of(source: Path, identity: dict[str, Any]) -> list[str]:
    """Return a description of the change of a source since its identity was read, or nothing.

    The frames of a file that is replaced or written to during the work are from one version, its
    sound from another. A source that is missing by now was read before.

    Args:
        source: file, folder or pattern of images.
        identity: `identity_of` the source before it was opened.
    """
    try:
        if identity_of(source) == identity or not identity["size"]:
            return []
        if image_files(source) is None and not source.is_file():
            return []
    except (OSError, VideoError):
        return []
    return [
        f"{source} changed while it was read, and the result may hold parts of both versions: run "
        "the work again with --overwrite"
    ]


def identity_of_file(file: BinaryIO, size: int) -> dict[str, Any]:
    """Return the identity of an open file; the same as `identity_of` for its path.

    Args:
        file: that supports `seek`.
        size: in bytes.
    """
    digest = sha256()
    add_samples(digest, file, size)
    return {"size": size, "sha256": digest.hexdigest()}


def add_samples(digest: Any, file: BinaryIO, size: int) -> None:
    """Add the samples of a file to a digest; arguments as of `identity_of_file`."""
    for place in sorted({0, max(0, size // 2 - SAMPLED_BYTES // 2), max(0, size - SAMPLED_BYTES)}):
        file.seek(place)
        digest.update(file.read(SAMPLED_BYTES))
