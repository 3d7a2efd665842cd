"""Metadata and chapters of the source, as a result stores them."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from midframe.media.containers import container_format
from midframe.media.languages import BIBLIOGRAPHIC, three_letters
from midframe.media.reading.survey import Span
from midframe.media.streams.stream_tags import title_of

THREE_LETTER_FORMATS = ("mp4", "mov", "mpegts")
"""Containers that state languages by the codes of ISO 639-2 alone."""
FILE_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode")
"""Metadata of the source's file, not of its content; the time code is written separately."""
APPLE_METADATA = "com.apple.quicktime."
"""Prefix of metadata keys that FFmpeg writes only in QuickTime's format: location, maker, model and
date of phones."""
MAX_CHAPTER_SECONDS = 10**9
"""Seconds; a chapter that states a later time is damaged."""


def content_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a file that describe its content."""
    return {key: value for key, value in metadata.items() if key.lower() not in FILE_METADATA}


def needs_apple_format(metadata: Iterable[str]) -> bool:
    """Return whether FFmpeg writes some of these metadata keys only in QuickTime's format."""
    return any(key.startswith(APPLE_METADATA) for key in metadata)


def stream_metadata(metadata: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the metadata of a stream that describe its content.

    Args:
        metadata: of the stream of the source.
        path: of the result.
    """
    kept = {}
    if title := title_of(metadata):
        kept["title"] = title
    if language := metadata.get("language"):
        form = container_format(path.suffix)
        language = three_letters(language) if form in THREE_LETTER_FORMATS else language
        kept["language"] = BIBLIOGRAPHIC.get(language, language) if form == "mov" else language
    return kept


def convert_chapters(
    chapters: Iterable[Any], shift: Fraction, span: Span | None, slow: Fraction
) -> list[Any]:
    """Convert chapters to the times of the result; those outside of it are omitted. A chapter may
    have no length: some programs store marks as such chapters.

    Args:
        chapters: as PyAV returns them.
        shift: seconds that are added to all times of the source.
        span: the part of the source that the result shows; None for all.
        slow: factor of slow motion.
    """
    shown = span or Span(Fraction(0), Fraction(MAX_CHAPTER_SECONDS))
    converted = (_convert_chapter(each, shift, shown, slow) for each in chapters)
    return [each for each in converted if each]


def _convert_chapter(chapter: Any, shift: Fraction, span: Span, slow: Fraction) -> Any:
    """Convert a chapter; return None if it is outside of the span."""
    tick = chapter["time_base"]
    begin = chapter["start"] * tick + shift
    end = max(begin, chapter["end"] * tick + shift)
    if begin >= span.end or end < span.begin or (begin < span.begin and end == span.begin):
        return None
    edges = {"start": max(begin, span.begin), "end": min(end, span.end)}
    return chapter | {
        edge: round((time - span.begin) * slow / tick) for edge, time in edges.items()
    }
