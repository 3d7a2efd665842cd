"""The proof that a result is whole: it is played as a player does, and compared with what its
source showed.

While a source is read, what it shows is observed: when, and as a thumbnail, before anything is
decided about it. The result is then decoded from its file, with edit lists and the start of its
container applied, by FFmpeg alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from midframe.media.pictures.images import Array
from midframe.media.reading.sights import Sight, thumbnail
from midframe.media.reading.video_file import decoder_of
from midframe.media.streams.carriers import PRIMING_PACKETS
from midframe.video.report import VideoReport

SAME_PICTURE = 10.0
"""Of 255: thumbnails of one picture, before and after encoding, differ by less in the mean."""
TICK = Fraction(1, 1000)
"""Seconds: Matroska counts in milliseconds."""
STRETCHED_TOLERANCE = Fraction(1, 10)
"""Seconds by which sound that is re-encoded may end earlier or later: a window of `atempo` and a
packet."""
PRIMING = Fraction(3, 10)
"""Seconds by which packets of sound that is re-encoded may lie before what is heard (encoder
delay)."""
SOUND_PACKET = Fraction(1, 20)
"""Seconds of a packet of sound at most: 2048 samples of AAC-HE at 44.1 kHz."""
SAME_ASPECT = 0.02
"""Fraction by which an aspect ratio may differ: Matroska states the size to be shown in pixels."""
FORGIVEN = 0.02
"""Fraction of the kept frames that may look unlike their source: strong compression, sudden
flashes."""


@dataclass(frozen=True)
class Stretch:
    """When a stream begins and ends, in seconds."""

    begin: Fraction
    end: Fraction
    packet: Fraction = Fraction(0)
    """The duration of its longest packet, by which the stated end may differ: not all containers
    cut the last one."""


@dataclass
class Playback:
    """What a player shows of a file."""

    sights: list[Sight] = field(default_factory=list)
    end: Fraction = Fraction(0)
    """When the last picture is no longer shown."""
    sounds: list[Stretch] = field(default_factory=list)
    """Of each sound stream, in order."""
    streams: dict[str, int] = field(default_factory=dict)
    """How many of each kind the file has beside the picture."""
    errors: int = 0
    """Packets that could not be decoded."""
    aspect: Fraction | None = None
    """Width of a pixel in its heights; None if the file does not state it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the file and the picture's stream."""
    begins_anywhere: bool = False
    """The clock of the file begins anywhere, as in MPEG-TS, which has no times before 0."""
    whole_packets: bool = False
    """Sound begins and ends with a packet, where other containers cut off what an encoder put
    before and after it."""

    @property
    def begin(self) -> Fraction:
        return self.sights[0].time if self.sights else self.end

    def move(self, seconds: Fraction) -> None:
        """Move all times."""
        self.sights = [replace(sight, time=sight.time + seconds) for sight in self.sights]
        self.sounds = [Stretch(sound.begin + seconds, sound.end + seconds) for sound in self.sounds]
        self.end += seconds


def play(path: Path, frame_duration: Fraction) -> Playback:
    """Decode a result as a player does.

    Args:
        path: of the file.
        frame_duration: duration in seconds of a frame that states none.
    """
    found = Playback()
    with av.open(f"file:{path}") as container:
        picture: Any = container.streams.video[0]
        picture.thread_type = "AUTO"
        others = [
            each
            for each in container.streams
            if each is not picture and each.type in ("audio", "subtitle", "video")
        ]
        found.whole_packets = container.format.name in ("avi", "mpegts")
        found.begins_anywhere = container.format.name == "mpegts"
        counted = (
            container.format.name == "avi"
        )  # it states no times, and FFmpeg guesses late ones for H.264
        found.streams = dict(Counter(stream.type for stream in others))
        sounds = [stream for stream in others if stream.type == "audio"]
        heard: dict[int, Stretch] = {}
        last, decoder = Fraction(0), decoder_of(picture)
        for packet in container.demux([picture, *sounds]):
            if packet.stream is picture:
                _show(found, decoder, packet, counted=counted)
                # durations are those of the order of decoding, so only that of the last packet
                # states the end
                last = (packet.duration or 0) * packet.time_base if packet.size else last
            elif packet.pts is not None and not packet.is_discard:
                begin = packet.pts * packet.time_base
                end = begin + (packet.duration or 0) * packet.time_base
                before = heard.get(packet.stream.index, Stretch(begin, end))
                longest = max(before.packet, end - begin)
                heard[packet.stream.index] = Stretch(
                    min(before.begin, begin), max(before.end, end), longest
                )
        found.aspect = picture.sample_aspect_ratio or picture.codec_context.sample_aspect_ratio
        found.metadata = picture.metadata | container.metadata
        if found.sights:
            found.end = max(sight.time for sight in found.sights) + (last or frame_duration)
        found.sounds = [heard[stream.index] for stream in sounds if stream.index in heard]
    return found


def _show(found: Playback, decoder: Any, packet: Any, *, counted: bool) -> None:
    try:
        pictures = decoder.decode(packet if packet.size else None)
    except av.FFmpegError:
        found.errors += 1
        return
    for picture in pictures:
        moment = picture.dts if counted or picture.pts is None else picture.pts
        if moment is None:
            found.errors += 1
            continue
        found.sights.append(Sight(Fraction(moment * packet.time_base), thumbnail(picture)))


@dataclass(frozen=True)
class Expected:
    """What a result should be like."""

    sights: Sequence[Sight]
    """What the source showed of the part, in seconds of the source."""
    end: Fraction
    """When its last picture is no longer shown."""
    sounds: Sequence[Stretch | None]
    """Of each sound stream that was carried over, in seconds of the source; None where it is not
    known."""
    streams: Mapping[str, int]
    """How many of each kind were to be carried over beside the picture."""
    slow: Fraction
    """How many times longer the result is."""
    step: Fraction
    """Seconds between two frames of the result, in the mean."""
    stretched: bool
    """Sound was re-encoded."""
    shift: Fraction = Fraction(0)
    """Seconds of the source that lie before the result's time 0."""
    aspect: Fraction | None = None
    """Width of a pixel in its heights."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the source, as far as it was to be carried over."""


def prove(path: Path, report: VideoReport, expected: Expected) -> None:
    """Play a result and compare it with its source; what it has goes into the report, and what it
    lacks.

    Args:
        path: of the result.
        report: of the work; gets `length_out`, `streams`, `frames_unchanged`, `warnings` and
            `problems`.
        expected: what the source showed.
    """
    found = play(path, expected.step)
    if found.begins_anywhere and expected.sights:
        found.move((expected.sights[0].time - expected.shift) * expected.slow - found.begin)
    else:
        _begin_at_zero(found, expected)
    report.length_out, report.streams = found.end - found.begin, found.streams
    report.dropped += tuple(_lost_tags(found, expected, path.suffix))
    problems = [*_wrong_frames(found, report, expected), *_wrong_sounds(found, report, expected)]
    if found.streams != dict(expected.streams):
        problems.append(
            f"it has {_counted(found.streams)} beside the video stream instead of "
            f"{_counted(expected.streams)}"
        )
    report.problems = tuple(problems)


def _begin_at_zero(found: Playback, expected: Expected) -> None:
    """Take the delay off that Matroska gives to all streams where the priming of a sound lies
    before 0."""
    if not found.sights or not expected.sights or not found.sounds:
        return
    delay = found.begin - (expected.sights[0].time - expected.shift) * expected.slow
    first = min(sound.begin for sound in found.sounds)
    longest = max(sound.packet for sound in found.sounds)
    if abs(first) <= 3 * TICK and 0 < delay <= PRIMING_PACKETS * longest + 3 * TICK:
        found.sights = [replace(sight, time=sight.time - delay) for sight in found.sights]
        found.sounds = [
            replace(each, begin=each.begin - delay, end=each.end - delay) for each in found.sounds
        ]
        found.end -= delay


def _lost_tags(found: Playback, expected: Expected, suffix: str) -> Iterator[str]:
    """What a file of this kind has no place for."""
    aspect = Fraction(expected.aspect or 1)
    if aspect != 1 and abs(float((found.aspect or 1) / aspect) - 1) > SAME_ASPECT:
        yield f"sample aspect ratio {aspect} ({suffix} files cannot hold it)"
    names, values = {name.lower() for name in found.metadata}, set(found.metadata.values())
    lost = [
        name
        for name, value in expected.metadata.items()
        if value and name.lower() not in names and value not in values
    ]
    if lost:
        yield f"metadata {', '.join(sorted(lost))} ({suffix} files cannot hold it)"


def _counted(streams: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(streams.items())) or "nothing"


def _wrong_frames(found: Playback, report: VideoReport, expected: Expected) -> Iterator[str]:
    times = [sight.time for sight in found.sights]
    if found.errors:
        yield f"{found.errors} video packets cannot be decoded"
    if len(times) != report.frames_out:
        yield f"{len(times)} frames are decoded instead of {report.frames_out}"
    if len(set(times)) != len(times) or sorted(times) != times:
        yield "frames share times, or go back"
    if not times or not expected.sights:
        return
    slack = expected.step + 2 * TICK
    first = (expected.sights[0].time - expected.shift) * expected.slow
    length = (expected.end - expected.sights[0].time) * expected.slow
    if abs(found.begin - first) > slack:
        yield f"the video begins at {float(found.begin):.3f} s instead of {float(first):.3f} s"
    if abs(found.end - found.begin - length) > slack:
        lasts = float(found.end - found.begin)
        yield f"the video lasts {lasts:.3f} s instead of {float(length):.3f} s"
    report.frames_unchanged = unchanged(found.sights, expected)
    if report.frames_unchanged < report.frames_kept * (1 - FORGIVEN) - 1:
        kept = f"instead of {report.frames_kept}"
        yield f"{report.frames_unchanged} source frames are found in the result {kept}"


def unchanged(shown: Sequence[Sight], expected: Expected) -> int:
    """Count the frames of the source that a player shows near their times, each in a frame of its
    own."""
    count, place = 0, 0
    for sight in expected.sights:
        time = (sight.time - expected.shift) * expected.slow
        while place < len(shown) and shown[place].time < time - expected.step:
            place += 1
        near = place
        while near < len(shown) and shown[near].time <= time + expected.step:
            if _alike(sight.thumbnail, shown[near].thumbnail):
                count, place = count + 1, near + 1
                break
            near += 1
    return count


def _alike(first: Array, second: Array) -> bool:
    return float(np.abs(first.astype(np.int16) - second).mean()) < SAME_PICTURE


def _wrong_sounds(found: Playback, report: VideoReport, expected: Expected) -> Iterator[str]:
    slack = expected.step + (STRETCHED_TOLERANCE if expected.stretched else 2 * TICK)
    slack += SOUND_PACKET if found.whole_packets else 0
    for number, (was, now) in enumerate(zip(expected.sounds, found.sounds, strict=False), start=1):
        if was is None or not expected.sights:
            continue
        own = [(edge - expected.shift) * expected.slow for edge in (was.begin, was.end)]
        after_picture = (
            own[1] - (expected.end - expected.shift) * expected.slow,
            now.end - found.end,
        )
        if number == 1:
            report.sound_after_picture_in, report.sound_after_picture_out = after_picture
        if abs(after_picture[1] - after_picture[0]) > slack + now.packet:
            moved = float(abs(after_picture[1] - after_picture[0]))
            yield (
                f"sound {number} ends {moved:.3f} s earlier or later than it should beside the "
                "video"
            )
        early = slack + max(PRIMING if expected.stretched else 0, PRIMING_PACKETS * now.packet)
        if not -early <= now.begin - own[0] <= slack:
            begins = float(now.begin)
            yield f"sound {number} begins at {begins:.3f} s instead of {float(own[0]):.3f} s"
