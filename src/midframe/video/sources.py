"""Where frames come from: a video, pictures in a row, or a stream in standard input."""

from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

from midframe.video.pictures import PictureReader, picture_files
from midframe.video.pipes import STREAM, PipeReader
from midframe.video.reader import WHOLE, Part, VideoReader
from midframe.video.timeline import parse_rate

SAMPLED_BYTES = 1 << 20
"""A source is known again by its size and by so much of its beginning, middle and end."""


def open_source(
    source: Path,
    cut_threshold: float | None = None,
    *,
    part: Part = WHOLE,
    deinterlace: bool = False,
    rate: str | Fraction | None = None,
    **options: Any,
) -> VideoReader:
    """Open whatever frames can be read from.

    Args:
        source: a video, a folder of pictures, a pattern such as `frames/%06d.png`, or "-" for standard input.
        cut_threshold, part, deinterlace: as in `VideoReader`.
        rate: frames a second of pictures.
        options: `strict`, `holds_matrix` and `holds_aspect`, as in `VideoReader`.

    Raises:
        ValueError: a rate for what has one of its own.
        VideoError: it cannot be read.
    """
    files = picture_files(source)
    if files is not None:
        return PictureReader(
            source, files, cut_threshold, part, rate=None if rate is None else parse_rate(rate), **options
        )
    if rate is not None:
        raise ValueError(f"a frame rate of {rate} is given for {source}: only pictures have none of their own")
    kind = PipeReader if source == STREAM else VideoReader
    return kind(source, cut_threshold, part, deinterlace=deinterlace, **options)


def identity_of(source: Path) -> dict[str, Any]:
    """What a source is known again by; nothing of standard input."""
    digest, total = sha256(), 0
    files = picture_files(source)
    for path in ([source] if source.is_file() else []) if files is None else files:
        size = path.stat().st_size
        total += size
        with path.open("rb") as file:
            for place in sorted({0, max(0, size // 2 - SAMPLED_BYTES // 2), max(0, size - SAMPLED_BYTES)}):
                file.seek(place)
                digest.update(file.read(SAMPLED_BYTES))
    return {"size": total, "sha256": digest.hexdigest()}
