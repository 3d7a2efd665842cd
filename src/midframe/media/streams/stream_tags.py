"""Language, title and marks of a stream, as a player shows them in its menu."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from av.stream import Disposition

from midframe.media.languages import UNKNOWN, same_language

TAGGED = ("audio", "subtitle")
"""Types of the streams that a viewer chooses."""
MARKS = ("forced", "comment", "original", "dub", "hearing_impaired", "visual_impaired")
"""Dispositions that a viewer chooses a stream by."""


@dataclass(frozen=True)
class StreamTags:
    """The tags of a stream other than the video."""

    language: str | None = None
    title: str = ""
    marks: tuple[str, ...] = ()

    def lost_in(self, other: "StreamTags") -> Iterator[str]:
        """Yield descriptions of the tags that another stream does not have."""
        if self.language and not same_language(self.language, other.language):
            stored = f" (stored as {other.language})" if other.language else ""
            yield f"language {self.language}{stored}"
        if self.title and self.title != other.title:
            yield f"title {self.title!r}"
        yield from (mark.replace("_", " ") for mark in self.marks if mark not in other.marks)


def tags_of(stream: Any) -> StreamTags:
    """Return the tags of a stream of PyAV."""
    language = stream.metadata.get("language")
    return StreamTags(
        None if language == UNKNOWN else language,
        title_of(stream.metadata),
        tuple(mark for mark in MARKS if stream.disposition & Disposition[mark]),
    )


def title_of(metadata: Any) -> str:
    """Return the title of a stream; MP4 stores it as the name of the track."""
    return str(metadata.get("title") or metadata.get("name") or "")
