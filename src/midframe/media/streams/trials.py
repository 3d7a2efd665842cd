"""Trial muxing: find by trial, before the work, how each stream other than the video gets into the
result.

The first packets of every stream are read. Each possible choice (copied, converted) is tried: they
are written to a temporary file in the container of the result, with header and trailer, and the
file is read again. The first choice that works is used.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.containers import CONTAINER_OPTIONS, container_format
from midframe.media.reading.video_file import file_url, is_encrypted, open_video
from midframe.media.streams.first_packets import read_first_packets
from midframe.media.streams.output_streams import (
    OUTPUT_ERRORS,
    STREAM_ERRORS,
    CopiedStream,
    OutputStream,
    RisingTimes,
    UnsupportedStream,
    reason_of,
    times_of,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import SoundFormat, decode_sound, stated_format
from midframe.media.streams.streams import (
    StreamChoice,
    StreamPlan,
    codec_name,
    name_of,
    possible_choices,
)

MPEG_AUDIO = frozenset(("mp1", "mp2", "mp3"))
"""Layers of MPEG audio, by FFmpeg's names of the codecs."""
MAX_GAP = Fraction(1)
"""Seconds between two packets; a longer gap is a jump of the clock, and is removed in a trial."""


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
            if packets and is_encrypted(packets[0]):
                plan.choices[stream.index] = StreamChoice(reason="it is encrypted")
                continue
            plan.choices[stream.index] = trials.choose(
                stream,
                packets,
                found.sounds.get(stream.index),
                mute=mute,
                decodable=stream.index not in found.undecodable,
            )
    return plan


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
        self,
        source: Any,
        packets: Sequence[av.Packet],
        sound: SoundFormat | None,
        *,
        mute: bool,
        decodable: bool = True,
    ) -> StreamChoice:
        """Return the first choice that works, or one that drops the stream.

        Args:
            source: a stream.
            packets: its first ones.
            sound: its format, if it is an audio stream and the format is known.
            mute: as in `plan_streams`.
            decodable: some of the packets can be decoded; if not, players may still be able to
                decode them, so copies of them need not be.
        """
        changes = source.index in self.changed_sounds
        try:
            choices = possible_choices(
                source, self._container_name(), self.slow, sound, mute=mute, changes=changes
            )
        except UnsupportedStream as reason:
            return StreamChoice(reason=str(reason))
        reasons = []
        for choice in choices:
            if choice.add is None:
                return choice
            try:
                note = self._try(choice, source, packets, sound, decodable=decodable)
            except UnsupportedStream as reason:
                reasons.append(str(reason))
                continue
            return StreamChoice(choice.add, note, as_stream=choice.as_stream)
        return StreamChoice(reason=reasons[-1])

    def _container_name(self) -> str:
        """Return FFmpeg's name of the container of the result."""
        try:
            with av.open(
                file_url(self.path), "w", format=container_format(self.path.suffix)
            ) as container:
                name: str = container.format.name
                return name
        finally:
            self.path.unlink(missing_ok=True)

    def _try(
        self,
        choice: StreamChoice,
        source: Any,
        packets: Sequence[av.Packet],
        sound: SoundFormat | None,
        *,
        decodable: bool,
    ) -> str:
        """Try one choice; return the note for the report."""
        assert choice.add
        if source.codec_context and source.type == "audio":
            source.codec_context.flush_buffers()
        suffix = self.path.suffix
        container = av.open(
            file_url(self.path),
            "w",
            format=container_format(suffix),
            container_options=CONTAINER_OPTIONS.get(suffix.lower(), {}),
        )
        try:
            output = choice.add(container, source, self.slow)
            container.start_encoding()
            written = write_packets(container, output, packets) if output else 0
            container.close()
            self._check_file(output, written, sound, decodable=decodable)
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

    def _check_file(
        self,
        output: OutputStream | None,
        written: int,
        sound: SoundFormat | None,
        *,
        decodable: bool,
    ) -> None:
        """Check that the file contains the written packets."""
        if output is None or not written:
            return
        codec = codec_name(output.stream)
        with av.open(file_url(self.path)) as result:
            matches = (
                stream
                for stream in result.streams
                if stream.type == output.stream.type
                and stream.codec_context
                and _same_codec(codec_name(stream), codec, result.format.name)
            )
            written_stream = next(matches, None)
            if written_stream is None:
                raise ValueError(f"{codec} is not found in the test file")
            if sound and sound.has_custom_order and isinstance(output, CopiedStream):
                stated = stated_format(written_stream.codec_context)
                if stated is None or stated.layout != sound.layout:
                    raise ValueError("its channel order would be lost")
            if sound and decodable and not _can_be_decoded(result, written_stream):
                raise ValueError("it cannot be decoded from the test file")


def _same_codec(first: str, second: str, container: str) -> bool:
    """Return whether two codecs are the same; MPEG-TS does not distinguish the layers of MPEG
    audio, which FFmpeg finds in the packets if there are enough."""
    return first == second or (container == "mpegts" and {first, second} <= MPEG_AUDIO)


def _can_be_decoded(container: Any, stream: Any) -> bool:
    """Return whether any frame of an audio stream can be decoded."""
    for packet in container.demux(stream):
        with suppress(*STREAM_ERRORS):
            if decode_sound(stream.codec_context, packet if packet.size else None):
                return True
    return False


def write_packets(container: Any, output: OutputStream, packets: Sequence[av.Packet]) -> int:
    """Write the packets of one stream to a test file, shifted to begin at 0; return the number of
    written packets."""
    times = RisingTimes(equal=False)
    # seconds of the source at time 0 of the test file; they grow at each removed gap
    shift: Fraction | None = None
    written_end = Fraction(0)
    count = 0
    for packet in packets:
        begin, end = times_of(packet)
        if begin is not None and (shift is None or abs(begin - shift - written_end) > MAX_GAP):
            shift = begin - written_end
        if end is not None and shift is not None:
            written_end = end - shift
        for written in output.packets(_copy_packet(packet, shift or Fraction(0))):
            container.mux(times.fix(written, output.stream))
            count += 1
    for written in output.flush():
        container.mux(times.fix(written, output.stream))
        count += 1
    return count


def _copy_packet(packet: av.Packet, shift: Fraction) -> av.Packet:
    """Copy a packet, with times that are earlier by `shift` seconds."""
    copy = av.Packet(bytes(packet))
    copy.stream = packet.stream
    copy.time_base = packet.time_base
    start = round(shift / packet.time_base)
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
    if isinstance(output, ConvertedSound) and output.mix_note:
        text += f", {output.mix_note}"
    return text


def _reason(error: Exception, source: Any, container: str) -> str:
    name = codec_name(source) if source.codec_context else source.type
    text = reason_of(error)
    why = "" if "does not support" in text else f" ({text})"
    return f"{name}: {container} files cannot hold it{why}"
