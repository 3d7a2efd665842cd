"""The final check of a result: it is decoded as a player does, and compared with its source.

The time and a thumbnail of each source frame are recorded when it is read, before any processing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from midframe.media.pictures.images import Array
from midframe.media.reading.thumbnails import TimedThumbnail
from midframe.media.streams.output_streams import PRIMING_PACKETS
from midframe.media.streams.stream_tags import StreamTags
from midframe.video.playback import Playback, StreamSpan, decode_playback
from midframe.video.report import VideoReport

MAX_THUMBNAIL_DIFFERENCE = 10.0
"""Largest mean difference of the thumbnails of a frame before and after encoding, in grey levels of
255."""
TICK = Fraction(1, 1000)
"""Seconds; the precision of times in Matroska."""
STRETCHED_TOLERANCE = Fraction(1, 10)
"""Seconds by which sound that is re-encoded may end earlier or later: a window of `atempo` and a
packet."""
PRIMING = Fraction(3, 10)
"""Seconds by which packets of re-encoded sound may precede the audible sound (encoder delay)."""
SOUND_PACKET = Fraction(1, 20)
"""Largest duration of an audio packet in seconds: 2048 samples of AAC-HE at 44.1 kHz."""
SAME_ASPECT = 0.02
"""Fraction by which an aspect ratio may differ: Matroska stores the display size in pixels."""
MAX_DIFFERENT_FRACTION = 0.02
"""Fraction of the kept frames that may differ from their source: strong compression, sudden
flashes."""


@dataclass(frozen=True)
class Expected:
    """The expected properties of a result."""

    thumbnails: Sequence[TimedThumbnail]
    """Thumbnails of the part of the source, at times in seconds of the source."""
    end: Fraction
    """End of its last frame."""
    sounds: Sequence[StreamSpan | None]
    """Start and end of each audio stream in the result, in seconds of the source; None if
    unknown."""
    streams: Mapping[str, int]
    """Number of streams of each type in the result, without the video."""
    slow: Fraction
    """Factor of slow motion."""
    step: Fraction
    """Mean seconds between two frames of the result."""
    stretched: bool
    """Sound was re-encoded."""
    shift: Fraction = Fraction(0)
    """Seconds of the source before the result's time 0."""
    aspect: Fraction | None = None
    """Sample aspect ratio."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the source that the result should have."""
    tags: Sequence[tuple[str, StreamTags]] = ()
    """Name and tags of each source stream of sound or text that the result has."""


def verify_playback(path: Path, report: VideoReport, expected: Expected) -> None:
    """Decode a result and compare it with its source; add its properties and faults to the report.

    Args:
        path: of the result.
        report: in which `length_out`, `streams`, `dropped`, `frames_unchanged`, the ends of sound
            and `problems` are set.
        expected: properties that follow from the source.
    """
    found = decode_playback(path, expected.step)
    if found.arbitrary_start and expected.thumbnails:
        found.move((expected.thumbnails[0].time - expected.shift) * expected.slow - found.begin)
    else:
        _begin_at_zero(found, expected)
    report.length_out = found.end - found.begin
    report.streams = found.streams
    report.dropped += tuple(_lost_tags(found, expected, path.suffix))
    problems = [*_wrong_frames(found, report, expected), *_wrong_sounds(found, report, expected)]
    if found.streams != dict(expected.streams):
        problems.append(
            f"it has {_list_counts(found.streams)} beside the video stream instead of "
            f"{_list_counts(expected.streams)}"
        )
    report.problems = tuple(problems)


def _begin_at_zero(found: Playback, expected: Expected) -> None:
    """Subtract the delay that Matroska adds to all streams if the priming of a sound begins before
    0."""
    if not found.thumbnails or not expected.thumbnails or not found.sounds:
        return
    delay = found.begin - (expected.thumbnails[0].time - expected.shift) * expected.slow
    first = min(sound.begin for sound in found.sounds)
    longest = max(sound.packet for sound in found.sounds)
    if abs(first) <= 3 * TICK and 0 < delay <= PRIMING_PACKETS * longest + 3 * TICK:
        found.move(-delay)


def _lost_tags(found: Playback, expected: Expected, suffix: str) -> Iterator[str]:
    """Yield descriptions of metadata that the result does not have."""
    aspect = Fraction(expected.aspect or 1)
    if aspect != 1 and abs(float((found.aspect or 1) / aspect) - 1) > SAME_ASPECT:
        yield f"sample aspect ratio {aspect} ({suffix} files cannot hold it)"
    if len(found.tags) == len(expected.tags):
        for (name, before), after in zip(expected.tags, found.tags, strict=True):
            if texts := ", ".join(before.lost_in(after)):
                yield f"{texts} of {name} ({suffix} files cannot hold it)"
    names = {name.lower() for name in found.metadata}
    values = set(found.metadata.values())
    lost = [
        name
        for name, value in expected.metadata.items()
        if value and name.lower() not in names and value not in values
    ]
    if lost:
        yield f"metadata {', '.join(sorted(lost))} ({suffix} files cannot hold it)"


def _list_counts(streams: Mapping[str, int]) -> str:
    texts = [f"{count} {stream_type}" for stream_type, count in sorted(streams.items())]
    return ", ".join(texts) or "nothing"


def _wrong_frames(found: Playback, report: VideoReport, expected: Expected) -> Iterator[str]:
    count = len(found.thumbnails)
    if found.errors:
        yield f"{found.errors} video packets cannot be decoded"
    if count != report.frames_out:
        yield f"{count} frames are decoded instead of {report.frames_out}"
    if any(before >= after for before, after in pairwise(found.thumbnails.times())):
        yield "frames share times, or go back"
    if not count or not expected.thumbnails:
        return
    slack = expected.step + 2 * TICK
    first = (expected.thumbnails[0].time - expected.shift) * expected.slow
    length = (expected.end - expected.thumbnails[0].time) * expected.slow
    if abs(found.begin - first) > slack:
        yield f"the video begins at {float(found.begin):.3f} s instead of {float(first):.3f} s"
    if abs(found.end - found.begin - length) > slack:
        lasts = float(found.end - found.begin)
        yield f"the video lasts {lasts:.3f} s instead of {float(length):.3f} s"
    report.frames_unchanged = count_unchanged(found.thumbnails, expected)
    if report.frames_unchanged < report.frames_kept * (1 - MAX_DIFFERENT_FRACTION) - 1:
        kept = f"instead of {report.frames_kept}"
        yield f"{report.frames_unchanged} source frames are found in the result {kept}"


def count_unchanged(shown: Sequence[TimedThumbnail], expected: Expected) -> int:
    """Count the source frames that a player shows within a step of their times, each matched with a
    different frame."""
    count = 0
    first = 0
    """Index of the first frame that a source frame can still be matched with."""
    for source in expected.thumbnails:
        time = (source.time - expected.shift) * expected.slow
        while first < len(shown) and shown[first].time < time - expected.step:
            first += 1
        candidate = first
        while candidate < len(shown) and shown[candidate].time <= time + expected.step:
            if _are_similar(source.thumbnail, shown[candidate].thumbnail):
                count += 1
                first = candidate + 1
                break
            candidate += 1
    return count


def _are_similar(first: Array, second: Array) -> bool:
    return float(np.abs(first.astype(np.int16) - second).mean()) < MAX_THUMBNAIL_DIFFERENCE


def _wrong_sounds(found: Playback, report: VideoReport, expected: Expected) -> Iterator[str]:
    slack = expected.step + (STRETCHED_TOLERANCE if expected.stretched else 2 * TICK)
    slack += SOUND_PACKET if found.whole_packets else 0
    pairs = zip(expected.sounds, found.sounds, strict=False)
    for number, (source, result) in enumerate(pairs, start=1):
        if source is None or not expected.thumbnails:
            continue
        begin = (source.begin - expected.shift) * expected.slow
        after_video_in = (source.end - expected.end) * expected.slow
        after_video_out = result.end - found.end
        if number == 1:
            report.sound_after_video_in = after_video_in
            report.sound_after_video_out = after_video_out
        if abs(after_video_out - after_video_in) > slack + result.packet:
            moved = float(after_video_out - after_video_in)
            side = "later" if moved > 0 else "earlier"
            yield (
                f"sound {number} ends {abs(moved):.3f} s {side}, relative to the video, than in "
                "the source"
            )
        priming = max(PRIMING if expected.stretched else 0, PRIMING_PACKETS * result.packet)
        if not -slack - priming <= result.begin - begin <= slack:
            begins = float(result.begin)
            yield f"sound {number} begins at {begins:.3f} s instead of {float(begin):.3f} s"
