"""Trial muxing: find by trial, before the work, how each stream other than the video gets into the
result.

The first packets of every stream are read. Each possible choice (copied, converted) is tried: they
are written to a temporary file in the container of the result, with header and trailer, and the
file is read again. The first choice that works is used.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.containers import container_format
from midframe.media.reading.video_file import file_url, is_cover, open_video
from midframe.media.streams.output_streams import (
    OUTPUT_ERRORS,
    CopiedStream,
    OutputStream,
    RisingTimes,
    UnsupportedStream,
    reason_of,
    times_of,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import SoundFormat, decode_sound, format_of, stated_format
from midframe.media.streams.streams import (
    StreamChoice,
    StreamPlan,
    codec_name,
    name_of,
    possible_choices,
)

FIRST_PACKETS = 12
"""Number of packets of each stream in a trial."""
MAX_UNDECODABLE = 200
"""Number of packets after which an audio stream is considered undecodable."""
MAX_GAP = Fraction(1)
"""Seconds between two packets; a longer gap is a jump of the clock, and is removed in a trial."""
MAX_BYTES = 64 << 20
"""Maximum number of bytes that are read to find the first packets of all streams."""
STREAM_ERRORS = (av.FFmpegError, OSError, ValueError, OverflowError)
"""Exceptions of PyAV and the system for streams that a container or an encoder refuses."""


@dataclass
class FirstPackets:
    """The first packets of streams of an open source."""

    packets: dict[int, list[av.Packet]] = field(default_factory=dict)
    sounds: dict[int, SoundFormat] = field(default_factory=dict)
    """Formats of the first decoded audio frames, by stream index."""
    complete: bool = False
    """The source was read to its end."""


def plan_streams(
    path: Path,
    others: Sequence[Any],
    target: Path,
    slow: Fraction,
    *,
    mute: bool,
    scratch: Path | None = None,
    changed_sounds: Collection[int] = (),
) -> StreamPlan:
    """Find by trial how each stream other than the video gets into the result.

    Args:
        path: of the source.
        others: its streams other than the video.
        target: the result; its suffix determines the container.
        slow: factor of slow motion.
        mute: drop sound.
        scratch: an existing folder for temporary files; the target's if None.
        changed_sounds: indices of the audio streams whose codec parameters change.
    """
    plan = StreamPlan(names={stream.index: name_of(stream) for stream in others})
    if not others:
        return plan
    indices = {stream.index for stream in others}
    with open_video(path) as source:
        streams = [stream for stream in source.streams if stream.index in indices]
        found = read_first_packets(source, [each for each in streams if each.type != "attachment"])
        trials = Trials((scratch or target.parent) / f".trial{target.suffix}", slow, changed_sounds)
        for stream in streams:
            packets = found.packets.get(stream.index, [])
            empty = found.complete and not packets
            if empty and stream.type == "audio" and not mute:
                plan.choices[stream.index] = StreamChoice(reason="it holds no packets")
                continue
            sound = found.sounds.get(stream.index)
            plan.choices[stream.index] = trials.choose(stream, packets, sound, mute=mute)
    return plan


def read_first_packets(source: Any, streams: Sequence[Any]) -> FirstPackets:
    """Read the first packets of some streams, and the formats of the audio among them."""
    found = FirstPackets({stream.index: [] for stream in streams})
    waiting = {stream.index: stream for stream in streams if not is_cover(stream)}
    tried: dict[int, int] = {}
    size = 0
    # PyAV raises the IndexError at the end if streams appeared in the middle of a file
    with suppress(av.FFmpegError, IndexError):
        for packet in source.demux():
            size += packet.size
            kept = found.packets.get(packet.stream.index)
            if packet.size and kept is not None:
                if packet.stream.type == "audio" and packet.stream.index not in found.sounds:
                    tried[packet.stream.index] = tried.get(packet.stream.index, 0) + 1
                    _read_sound_format(packet, found)
                if len(kept) < FIRST_PACKETS:
                    kept.append(packet)
                unknown = packet.stream.type == "audio" and packet.stream.index not in found.sounds
                if len(kept) >= FIRST_PACKETS and not (
                    unknown and tried[packet.stream.index] < MAX_UNDECODABLE
                ):
                    waiting.pop(packet.stream.index, None)
            if not waiting or size > MAX_BYTES:
                break
        else:
            found.complete = True
    for stream in streams:
        if stream.type == "audio" and stream.codec_context and stream.index not in found.sounds:
            stated = stated_format(stream.codec_context)
            if stated and found.packets[stream.index]:
                found.sounds[stream.index] = stated
    return found


def _read_sound_format(packet: av.Packet, found: FirstPackets) -> None:
    context = packet.stream.codec_context
    if context is None or packet.is_corrupt:
        return
    with suppress(*STREAM_ERRORS):
        for frame in decode_sound(context, packet):
            found.sounds.setdefault(packet.stream.index, format_of(frame))


class Trials:
    """Tries copying and converting streams in a temporary file.

    Args:
        path: of that file, with the suffix of the result.
        slow: factor of slow motion.
        changed_sounds: as in `plan_streams`.
    """

    def __init__(self, path: Path, slow: Fraction, changed_sounds: Collection[int] = ()) -> None:
        self.path = path
        self.slow = slow
        self.changed_sounds = changed_sounds

    def choose(
        self, source: Any, packets: Sequence[av.Packet], sound: SoundFormat | None, *, mute: bool
    ) -> StreamChoice:
        """Return the first choice that works, or one that drops the stream."""
        try:
            with av.open(
                file_url(self.path), "w", format=container_format(self.path.suffix)
            ) as container:
                name = container.format.name
            changes = source.index in self.changed_sounds
            choices = possible_choices(source, name, self.slow, sound, mute=mute, changes=changes)
        except UnsupportedStream as reason:
            return StreamChoice(reason=str(reason))
        finally:
            self.path.unlink(missing_ok=True)
        reasons = []
        for choice in choices:
            if choice.add is None:
                return choice
            try:
                note = self._try(choice, source, packets, sound)
            except UnsupportedStream as reason:
                reasons.append(str(reason))
                continue
            return StreamChoice(choice.add, note, shown=choice.shown)
        return StreamChoice(reason=reasons[-1])

    def _try(
        self,
        choice: StreamChoice,
        source: Any,
        packets: Sequence[av.Packet],
        sound: SoundFormat | None,
    ) -> str:
        """Try one choice; return the note for the report."""
        assert choice.add
        if source.codec_context and source.type == "audio":
            source.codec_context.flush_buffers()
        container = av.open(file_url(self.path), "w", format=container_format(self.path.suffix))
        try:
            output = choice.add(container, source, self.slow)
            container.start_encoding()
            written = write_all(container, output, packets) if output else 0
            container.close()
            self._read_again(output, written, sound)
            return _note(choice.note, source, output)
        except STREAM_ERRORS as error:
            if getattr(error, "errno", None) in OUTPUT_ERRORS:
                place = f"{self.path.parent} cannot be written to ({reason_of(error)})"
                raise VideoError(
                    f"{place}: choose another place for OUT, or make room there"
                ) from error
            raise UnsupportedStream(_reason(error, source, container.format.name)) from error
        finally:
            with suppress(*STREAM_ERRORS):
                container.close()
            self.path.unlink(missing_ok=True)

    def _read_again(
        self, output: OutputStream | None, written: int, sound: SoundFormat | None
    ) -> None:
        """Check that the file contains the written packets."""
        if output is None or not written:
            return
        codec = codec_name(output.stream)
        with av.open(file_url(self.path)) as result:
            same = [
                stream
                for stream in result.streams
                if stream.type == output.stream.type
                and stream.codec_context
                and codec_name(stream) == codec
            ]
            if not same:
                raise ValueError(f"{codec} is not found in the test file")
            if sound and sound.reordered and isinstance(output, CopiedStream):
                stated = stated_format(same[0].codec_context)
                if stated is None or stated.layout != sound.layout:
                    raise ValueError("its channel order would be lost")
            if sound and not _can_be_decoded(result, same[0]):
                raise ValueError("it cannot be decoded from the test file")


def _can_be_decoded(container: Any, stream: Any) -> bool:
    """Return whether any frame of an audio stream can be decoded."""
    for packet in container.demux(stream):
        with suppress(*STREAM_ERRORS):
            if decode_sound(stream.codec_context, packet if packet.size else None):
                return True
    return False


def write_all(container: Any, output: OutputStream, packets: Sequence[av.Packet]) -> int:
    """Write the packets of one stream to a test file, shifted to begin at 0; return the number of
    written packets."""
    times = RisingTimes(equal=False)
    first: Fraction | None = None
    last = Fraction(0)
    count = 0
    for packet in packets:
        begin, end = times_of(packet)
        if begin is not None and (first is None or abs(begin - first - last) > MAX_GAP):
            first = begin - last
        last = last if end is None or first is None else end - first
        for written in output.packets(_copy_packet(packet, first or Fraction(0))):
            container.mux(times.fix(written, output.stream))
            count += 1
    for written in output.flush():
        container.mux(times.fix(written, output.stream))
        count += 1
    return count


def _copy_packet(packet: av.Packet, first: Fraction) -> av.Packet:
    copy = av.Packet(bytes(packet))
    copy.stream = packet.stream
    copy.time_base = packet.time_base
    start = round(first / packet.time_base)
    copy.pts = None if packet.pts is None else packet.pts - start
    copy.dts = None if packet.dts is None else packet.dts - start
    copy.duration = packet.duration or 0
    copy.is_keyframe = packet.is_keyframe
    for side in packet.iter_sidedata():
        copy.set_sidedata(side)
    return copy


def _note(note: str, source: Any, output: OutputStream | None) -> str:
    """Describe the conversion of a stream."""
    if not note or output is None:
        return ""
    codec = output.stream.codec_context.codec.canonical_name
    text = f"{codec} sound is encoded again" if codec == codec_name(source) else f"{note} {codec}"
    if isinstance(output, ConvertedSound) and output.mixed:
        text += f", {output.mixed}"
    return text


def _reason(error: Exception, source: Any, container: str) -> str:
    name = codec_name(source) if source.codec_context else source.type
    text = reason_of(error)
    why = "" if "does not support" in text else f" ({text})"
    return f"{name}: {container} files cannot hold it{why}"
