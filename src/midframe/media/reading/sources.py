"""Opening a source: a video, an image sequence, a stack of images, or standard input."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from midframe.errors import OptionError
from midframe.media.reading.image_reader import ImageReader
from midframe.media.reading.image_sequence import ImageSequence, picture_files
from midframe.media.reading.pipes import STREAM, PipeReader
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.source import FrameSource, Part
from midframe.media.reading.stacks import SUFFIXES, ImageStack
from midframe.options import SourceOptions
from midframe.rates import parse_rate

SAMPLED_BYTES = 1 << 20
"""A source is known again by its size and by so much of its beginning, middle and end."""


def open_source(
    source: Path, options: SourceOptions, *, holds_matrix: bool = True, holds_aspect: bool = True
) -> FrameSource:
    """Open whatever frames can be read from.

    Args:
        source: a video, an animation or a TIFF of several pages, a folder of pictures, a pattern
            such as `frames/%06d.png`, or "-" for standard input.
        options: what is read of it.
        holds_matrix, holds_aspect: as in `VideoReader`.

    Raises:
        OptionError: `source_fps` is given for a source that has its own frame times.
        VideoError: it cannot be read.
    """
    part, threshold = Part(options.start, options.end), options.cut_threshold or None
    rate = None if options.source_fps is None else parse_rate(options.source_fps)
    shared: dict[str, Any] = {
        "strict": options.strict,
        "holds_matrix": holds_matrix,
        "holds_aspect": holds_aspect,
    }
    files = picture_files(source)
    if files is not None:
        images = ImageSequence(source, files, rate)
        return ImageReader(source, images, threshold, part, **shared)
    if source.suffix.lower() in SUFFIXES and source.is_file():
        return ImageReader(source, ImageStack(source, rate), threshold, part, **shared)
    if rate is not None:
        raise OptionError(
            f"`source_fps` is {rate}, but {source} has its own frame times: drop `source_fps`"
        )
    reader = PipeReader if source == STREAM else VideoReader
    return reader(source, threshold, part, deinterlace=options.deinterlace, **shared)


def identity_of(source: Path) -> dict[str, Any]:
    """What a source is known again by; nothing of standard input."""
    digest, total = sha256(), 0
    files = picture_files(source)
    for path in ([source] if source.is_file() else []) if files is None else files:
        size = path.stat().st_size
        total += size
        with path.open("rb") as file:
            for place in sorted(
                {0, max(0, size // 2 - SAMPLED_BYTES // 2), max(0, size - SAMPLED_BYTES)}
            ):
                file.seek(place)
                digest.update(file.read(SAMPLED_BYTES))
    return {"size": total, "sha256": digest.hexdigest()}
