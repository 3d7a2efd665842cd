"""The plan for the streams other than the video: copied, converted, or dropped with a reason."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.stream import Discard

from midframe.media.containers import MINIMAL_FORMATS, MPEG_TS_CODECS, UNUSUAL_IN_AVI
from midframe.media.reading.source import FrameSource
from midframe.media.reading.video_file import is_cover
from midframe.media.streams.data_streams import describe_data
from midframe.media.streams.output_streams import (
    CopiedStream,
    Losses,
    OutputStream,
    UnsupportedStream,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import SoundFormat
from midframe.media.streams.subtitles import ConvertedText
from midframe.media.streams.time_code import scale_time_code, stated_time_code

COVER_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
"""Suffix and media type of cover images."""
UNKNOWN_MEDIA_TYPE = "application/octet-stream"
CONVERTED_FOR_PLAYERS = {"mp4": "pcm"}
"""Prefix of the audio codecs that FFmpeg muxes into a container although most players do not
support them there."""


@dataclass(frozen=True)
class StreamChoice:
    """How one stream gets into the result."""

    add: Callable[[av.container.OutputContainer, Any, Fraction], OutputStream | None] | None = None
    """Adds it to a container; None if it is dropped."""
    note: str = ""
    """Description of the conversion; empty if it is copied."""
    reason: str = ""
    """Why it is dropped; empty if that is not reported."""
    as_stream: bool = True
    """The result contains it as a stream of the same type, not as an attachment."""


@dataclass
class StreamPlan:
    """How every stream other than the video gets into the result, by its index in the source."""

    choices: dict[int, StreamChoice] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """Descriptions of the streams for the report."""
    time_code: str | None = None
    """Time code of the first frame of the result."""
    lost_time_code: str = ""
    """The time code of the source and why it is dropped; empty if none is dropped."""

    @property
    def converted(self) -> list[str]:
        """Return descriptions of the converted streams and their conversion."""
        return [
            f"{self.names[index]} ({each.note})"
            for index, each in self.choices.items()
            if each.add and each.note
        ]

    @property
    def dropped(self) -> list[str]:
        """Return descriptions of the dropped streams, with reasons."""
        names: dict[str, list[str]] = {}
        for index, each in self.choices.items():
            if each.reason:
                names.setdefault(each.reason, []).append(self.names[index])
        dropped = [f"{join_names(group)} ({reason})" for reason, group in names.items()]
        return dropped + ([self.lost_time_code] if self.lost_time_code else [])

    def drop(self, index: int, reason: str) -> None:
        """Drop a stream whose trial was successful."""
        self.choices[index] = StreamChoice(reason=reason)


def possible_choices(
    source: Any,
    container: str,
    slow: Fraction,
    sound: SoundFormat | None,
    *,
    mute: bool,
    changes: bool = False,
) -> list[StreamChoice]:
    """Return the possible choices for a stream, the best first.

    Args:
        source: a stream other than the video.
        container: FFmpeg's name of the result's container.
        slow: factor of slow motion.
        sound: format of the first frames of an audio stream; None if none could be decoded.
        mute: drop sound.
        changes: the codec parameters of the audio change; only MPEG-TS supports that.

    Raises:
        UnsupportedStream: there is none; the text is the reason.
    """
    if source.type == "attachment":
        return [_attachment(source, container)]
    if source.type == "data":
        if source.discard == Discard.all:
            return [StreamChoice()]  # chapter titles, which MP4 stores in a text stream
        if stated_time_code(source.metadata):
            return [StreamChoice()]  # a time code is stored with the video, or reported there
        raise UnsupportedStream(describe_data(source))
    if source.type == "audio" and mute:
        return [StreamChoice()]
    if source.codec_context is None:
        raise UnsupportedStream("there is no decoder for it")
    if is_cover(source):
        return [_cover(source, container)]
    if source.type == "video":
        raise UnsupportedStream(f"{codec_name(source)}: another video stream")
    return (
        _sound(source, container, slow, sound, changes=changes)
        if source.type == "audio"
        else _subtitles(source, container)
    )


def codec_name(source: Any) -> str:
    """Return FFmpeg's name of the codec of a stream."""
    return str(source.codec_context.codec.canonical_name)


def _can_store(container: str, name: str) -> bool:
    """Return whether players support a codec in a container; what FFmpeg refuses fails in the
    trial."""
    if container == "mpegts":
        return name in MPEG_TS_CODECS
    return container != "avi" or name not in UNUSUAL_IN_AVI


def _sound(
    source: Any, container: str, slow: Fraction, sound: SoundFormat | None, *, changes: bool
) -> list[StreamChoice]:
    name = codec_name(source)
    copied = (
        slow == 1
        and (container == "mpegts" or not changes)
        and _can_store(container, name)
        and not name.startswith(CONVERTED_FOR_PLAYERS.get(container, "-"))
    )
    choices = [StreamChoice(_copy_with_format(sound))] if copied else []
    if sound is None:
        if not choices:
            raise UnsupportedStream(f"{name}: none of its first packets can be decoded")
        return choices

    def convert(target: av.container.OutputContainer, stream: Any, slow: Fraction) -> OutputStream:
        return ConvertedSound(stream, target, slow, sound, Losses(name_of(stream)))

    return [*choices, StreamChoice(convert, note=f"{name} sound becomes")]


def _copy_with_format(
    sound: SoundFormat | None,
) -> Callable[[av.container.OutputContainer, Any, Fraction], OutputStream]:
    def add(target: av.container.OutputContainer, stream: Any, slow: Fraction) -> OutputStream:
        output = CopiedStream(stream, target, slow, Losses(name_of(stream)))
        context = output.stream.codec_context
        if sound and context.sample_rate <= 0:  # not in the header of the source
            context.sample_rate = sound.rate
            context.layout = sound.layout
        return output

    return add


def _subtitles(source: Any, container: str) -> list[StreamChoice]:
    def convert(target: av.container.OutputContainer, stream: Any, slow: Fraction) -> OutputStream:
        return ConvertedText(stream, target, slow, Losses(name_of(stream)))

    copied = StreamChoice(
        lambda target, stream, slow: CopiedStream(stream, target, slow, Losses(name_of(stream)))
    )
    choices = [copied] if _can_store(container, codec_name(source)) else []
    if source.codec_context.codec.text_sub and container not in MINIMAL_FORMATS:
        choices.append(StreamChoice(convert, note=f"{codec_name(source)} subtitles become"))
    if not choices:
        raise UnsupportedStream(f"{codec_name(source)}: {container} files cannot hold it")
    return choices


def _attachment(source: Any, container: str) -> StreamChoice:
    if container != "matroska":
        raise UnsupportedStream(
            f"{source.metadata.get('filename', 'a file')}: only .mkv files hold attachments"
        )

    def add(target: av.container.OutputContainer, stream: Any, slow: Fraction) -> None:
        name = stream.metadata.get("filename") or f"attachment-{stream.index}"
        target.add_attachment(name, stream.mimetype or UNKNOWN_MEDIA_TYPE, stream.data)

    return StreamChoice(add, as_stream=False)


def _cover(source: Any, container: str) -> StreamChoice:
    name = codec_name(source)
    if container == "matroska" and name in COVER_TYPES:
        return StreamChoice(_attach_cover)
    if container == "mp4":
        return StreamChoice(
            lambda target, stream, slow: CopiedStream(stream, target, slow, Losses(name_of(stream)))
        )
    raise UnsupportedStream(f"{name}: {container} files cannot hold a cover image of this format")


def _attach_cover(target: av.container.OutputContainer, source: Any, slow: Fraction) -> None:
    ending, media_type = COVER_TYPES[codec_name(source)]
    with av.open(source.container.name) as again:
        packet = next(
            (each for each in again.demux(again.streams[source.index]) if each.size), None
        )
    if packet is None:
        raise UnsupportedStream("the cover image is empty")
    target.add_attachment(f"cover.{ending}", media_type, bytes(packet))


def name_of(source: Any) -> str:
    """Return the description of a stream for reports."""
    return f"{source.type} stream {source.index}"


def join_names(names: list[str]) -> str:
    """Join the names of streams: "data streams 2, 3, audio stream 1"."""
    numbers: dict[str, list[str]] = {}
    for name in names:
        kind, _, number = name.rpartition(" ")
        numbers.setdefault(kind, []).append(number)
    return ", ".join(
        f"{kind}{'s' if len(group) > 1 else ''} {', '.join(group)}"
        for kind, group in numbers.items()
    )


def plan_time_code(plan: StreamPlan, reader: FrameSource, rate: Fraction | None) -> None:
    """Set the time code of the first frame in the plan, or the reason why it is dropped.

    Args:
        plan: to change.
        reader: the source.
        rate: frames per second of the result; None if it is variable or the result is slowed down.
    """
    code = stated_time_code(reader.contents.stream_metadata, reader.contents.metadata)
    if code is None:
        return
    try:
        if rate is None:
            raise ValueError("the result has a variable rate or is slowed down")
        plan.time_code = scale_time_code(
            code, reader.rate, rate, Fraction(str(reader.time_range.start))
        )
    except ValueError as reason:
        plan.lost_time_code = f"time code {code} ({reason})"
