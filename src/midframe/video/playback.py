"""The frames and streams that a player decodes from a result.

The result is decoded from its file by FFmpeg, which applies edit lists and the start time of the
container.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.media.reading.thumbnails import ThumbnailList, make_thumbnail
from midframe.media.reading.video_file import decoder_of
from midframe.media.streams.stream_tags import TAGGED, StreamTags, tags_of


@dataclass(frozen=True)
class StreamSpan:
    """Start and end of a stream, in seconds."""

    begin: Fraction
    end: Fraction
    packet: Fraction = Fraction(0)
    """Duration of its longest packet, a tolerance for its end: not all containers cut the last
    packet. The least distance of two packets if none states a duration."""


@dataclass
class Playback:
    """The frames and streams that a player decodes from a file."""

    thumbnails: ThumbnailList = field(default_factory=ThumbnailList)
    end: Fraction = Fraction(0)
    """End of the last frame."""
    sounds: list[StreamSpan] = field(default_factory=list)
    """Start and end of each audio stream, in order."""
    streams: dict[str, int] = field(default_factory=dict)
    """Number of streams of each type, without the video."""
    tags: list[StreamTags] = field(default_factory=list)
    """Tags of each stream of sound or text, in order."""
    errors: int = 0
    """Number of packets that could not be decoded."""
    aspect: Fraction | None = None
    """Sample aspect ratio; None if the file does not state it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the file and the video stream."""
    arbitrary_start: bool = False
    """The file may start at any time, as in MPEG-TS, which has no times before 0."""
    whole_packets: bool = False
    """Sound begins and ends with a packet; other containers remove the delay and the padding of an
    encoder."""

    @property
    def begin(self) -> Fraction:
        return self.thumbnails[0].time if self.thumbnails else self.end

    def move(self, seconds: Fraction) -> None:
        """Add seconds to all times."""
        self.thumbnails.move(seconds)
        self.sounds = [
            replace(each, begin=each.begin + seconds, end=each.end + seconds)
            for each in self.sounds
        ]
        self.end += seconds


def decode_playback(path: Path, frame_duration: Fraction) -> Playback:
    """Decode a result as a player does.

    Args:
        path: of the file.
        frame_duration: duration in seconds of a frame that states none.
    """
    found = Playback()
    with av.open(f"file:{path}") as container:
        video: Any = container.streams.video[0]
        video.thread_type = "AUTO"
        other_streams = [
            stream
            for stream in container.streams
            if stream is not video and stream.type in ("audio", "subtitle", "video")
        ]
        found.whole_packets = container.format.name in ("avi", "mpegts")
        found.arbitrary_start = container.format.name == "mpegts"
        found.streams = dict(Counter(stream.type for stream in other_streams))
        found.tags = [tags_of(stream) for stream in other_streams if stream.type in TAGGED]
        sounds = [stream for stream in other_streams if stream.type == "audio"]
        sound_spans: dict[int, StreamSpan] = {}
        last_duration = Fraction(0)
        decoder = decoder_of(video)
        for packet in container.demux([video, *sounds]):
            if packet.stream is not video:
                _extend_span(sound_spans, packet)
                continue
            # AVI has no timestamps, and FFmpeg's estimates are too late for H.264
            _decode_packet(found, decoder, packet, use_dts=container.format.name == "avi")
            # durations belong to decoding order, so only that of the last packet is used
            if packet.size:
                last_duration = (packet.duration or 0) * packet.time_base
        found.aspect = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio
        found.metadata = video.metadata | container.metadata
        if found.thumbnails:
            last_time = max(found.thumbnails.times())
            found.end = last_time + (last_duration or frame_duration)
        found.sounds = [sound_spans[each.index] for each in sounds if each.index in sound_spans]
    return found


def _extend_span(spans: dict[int, StreamSpan], packet: Any) -> None:
    """Extend the span of a stream, by its index, by a packet."""
    if packet.pts is None or packet.is_discard:
        return
    begin = packet.pts * packet.time_base
    end = begin + (packet.duration or 0) * packet.time_base
    before = spans.get(packet.stream.index, StreamSpan(begin, end))
    longest = max(before.packet, end - begin)
    if not packet.duration and (distance := begin - before.end) > 0:
        longest = min(before.packet or distance, distance)
    spans[packet.stream.index] = StreamSpan(min(before.begin, begin), max(before.end, end), longest)


def _decode_packet(found: Playback, decoder: Any, packet: Any, *, use_dts: bool) -> None:
    """Add the thumbnails of the frames in a video packet."""
    try:
        pictures = decoder.decode(packet if packet.size else None)
    except av.FFmpegError:
        found.errors += 1
        return
    for picture in pictures:
        timestamp = picture.dts if use_dts or picture.pts is None else picture.pts
        if timestamp is None:
            found.errors += 1
            continue
        found.thumbnails.append(Fraction(timestamp * packet.time_base), make_thumbnail(picture))
