"""Reading a video: its frames with exact times, and the packets of its other streams as they are."""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from midframe.errors import SourceError, VideoError
from midframe.video.colour import Colour, colour_of
from midframe.video.interlacing import Deinterlacer
from midframe.video.scenes import CutDetector
from midframe.video.timeline import source_rate

FIRST_FRAMES = 300
"""So many frames tell the frame rate."""
MISSING_SECONDS = 0.5
"""A picture that ends more than this before the file says is taken for a file cut short."""
FASTEST = 10_000
"""Frames a second that only a damaged file has."""
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EACCES}
"""Faults of a disk or a network, after which a film may be as whole as before."""
SEEK_SECONDS = 2
"""A part is looked for from this much before its start, for containers that find places roughly."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Of streams whose alpha FFmpeg's own decoders leave out."""

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+[^/]")
"""How the address of something elsewhere begins."""


@dataclass(frozen=True)
class Part:
    """The part of a video to show, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"from {self.start} s to {self.end} s is no part of a video: start before end is needed")

    def frames_in(self, rate: Fraction, total: int | None) -> float | None:
        """How many frames the part has of a video, if that is known."""
        if total is None:
            return None
        last = float(total) if self.end is None else min(float(total), self.end * float(rate))
        return max(0.0, last - self.start * float(rate))


WHOLE = Part()
"""A video from its first frame to its last."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int | Fraction
    """When it is shown, in the time base of its stream."""
    begins_scene: bool


class VideoReader:
    """An open video. Close it, or use it in a `with` block.

    Args:
        path: of the video.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; None looks for none.
        part: what is read of its picture.
        deinterlace: make whole frames of the two fields that interlaced ones hold.

    Raises:
        VideoError: the file is missing, is no video, or has no picture.
    """

    def __init__(
        self, path: Path, cut_threshold: float | None = None, part: Part = WHOLE, *, deinterlace: bool = False
    ) -> None:
        self.path = path
        self.cut_threshold, self.part, self.deinterlace = cut_threshold, part, deinterlace
        self.frames_read = 0
        self.container = self._open()
        self.stream = _video_stream(self.container, path)
        self.stream.thread_type = "AUTO"
        self.time_base = self.stream.time_base or Fraction(1, 90000)
        self._counted = self.container.format.name == "avi" and self.stream.codec_context.has_b_frames
        """AVI knows no times; of frames that are stored in another order than shown, FFmpeg guesses wrong ones."""
        times = self._first_times()
        self.start = times[0] if times else Fraction(0)
        """When the first frame is shown, in seconds."""
        stated = [rate for rate in (self.stream.average_rate, self.stream.guessed_rate) if rate]
        self.rate = source_rate(times, self.time_base, stated)
        if self.rate > FASTEST:
            self.container.close()
            raise SourceError(f"{path} says that it has {float(self.rate):.0f} frames a second: it may be damaged")
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        """Of a frame that does not say, in the time base."""
        self.others: list[Any] = [stream for stream in self.container.streams if stream is not self.stream]
        """All streams but the picture."""

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def expected_frames(self) -> float | None:
        """How many frames the part has, as the file says or its length suggests; None if it says nothing."""
        total = int(self.stream.frames) or None
        if not total and self.container.duration:
            total = round(self.container.duration / av.time_base * self.rate)
        return self.part.frames_in(self.rate, total)

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Decode one frame to learn of the picture, in a container of its own: not every file can be wound back."""
        try:
            with self._open() as container:
                stream = container.streams[self.stream.index]
                decoder = _alpha_decoder(stream)
                picture = next((each for packet in container.demux(stream) for each in decoder.decode(packet)), None)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        if picture is None:
            raise SourceError(f"{self.path} holds no picture that can be decoded: play it to see whether it is whole")
        return picture, colour_of(picture)

    def read(self) -> Iterator[Frame]:
        """Yield every frame of the part, in the order of showing.

        Raises:
            VideoError: the file is damaged or cut short.
        """
        begin = self.start + Fraction(str(self.part.start))
        until = None if self.part.end is None else self.start + Fraction(str(self.part.end))
        self._seek(begin)
        cuts = CutDetector(self.stream, self.cut_threshold) if self.cut_threshold else None
        end = None
        try:
            for picture, pts in self._pictures():
                end = pts + (picture.duration or self.frame_duration)
                time = pts * self.time_base
                if until is not None and time >= until:
                    break
                begins_scene = bool(cuts and cuts.begins_scene(picture))
                if time >= begin:
                    self.frames_read += 1
                    yield Frame(picture, pts, begins_scene)
            else:
                self._check_end(end)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        if not self.frames_read:
            raise SourceError(f"{self.path} has no frame from {self.part.start} s on: choose another --start")

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """Yield the packets of other streams, as they are in the file."""
        try:
            yield from (packet for packet in self.container.demux(streams) if packet.size)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error

    def _open(self) -> av.container.InputContainer:
        return open_video(self.path)

    def _seek(self, begin: Fraction) -> None:
        """Go to a key frame before the part, if the file can be sought in; otherwise it is decoded from its start."""
        if self.part.start > SEEK_SECONDS and not self._counted:
            with suppress(av.FFmpegError):
                self.container.seek(round((begin - SEEK_SECONDS) / self.time_base), stream=self.stream)

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Every picture from here on, with its pts, two fields made one frame if that is wanted."""
        fields = Deinterlacer(self.stream) if self.deinterlace else None
        last: int | None = None
        for picture in self._decoded():
            last = self._pts(picture, last)
            if fields:
                yield from fields.feed(picture, last)
            else:
                yield picture, last
        if fields:
            yield from fields.rest()

    def _decoded(self) -> Iterator[av.VideoFrame]:
        decoder = _alpha_decoder(self.stream)
        for packet in self.container.demux(self.stream):
            if packet.is_corrupt:
                raise SourceError(f"{self.path} is damaged at {_seconds(packet)}: it may not have been copied whole")
            yield from decoder.decode(packet)

    def _first_times(self) -> list[Fraction]:
        """When the first frames are shown, in seconds, in order; they are not decoded."""
        try:
            with self._open() as container:
                packets = islice(container.demux(container.streams[self.stream.index]), FIRST_FRAMES)
                moments = [packet.dts if self._counted else packet.pts for packet in packets if not packet.is_discard]
                return sorted(moment * self.time_base for moment in moments if moment is not None)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error

    def _pts(self, picture: av.VideoFrame, last: int | None) -> int:
        """The frame's time; one that has none, or goes back, follows its predecessor."""
        if picture.pts is not None and (last is None or picture.pts > last) and not self._counted:
            return int(picture.pts)
        return round(self.start / self.time_base) if last is None else last + self.frame_duration

    def _check_end(self, end: int | None) -> None:
        if end is None:
            raise SourceError(f"{self.path} holds no picture that can be decoded: play it to see whether it is whole")
        promised = _promised_end(self.stream)
        missing = 0 if promised is None else promised - end * self.time_base
        if missing > max(MISSING_SECONDS, float(2 / self.rate)):
            raise SourceError(f"{self.path} ends {float(missing):.1f} s too early: it may not have been copied whole")

    def _unreadable(self, error: av.FFmpegError) -> VideoError:
        if error.errno in PASSING:
            return VideoError(f"{self.path} cannot be read now ({error.strerror}): see that its disk is there")
        return SourceError(f"{self.path} cannot be decoded ({error.strerror}): it may not have been copied whole")


def _alpha_decoder(stream: Any) -> Any:
    """What decodes a stream: its own decoder, or one that sees the alpha which that leaves out."""
    context = stream.codec_context
    name = ALPHA_DECODERS.get(context.codec.canonical_name)
    if not name or stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return context
    decoder: Any = av.CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    return decoder


def open_video(path: Path, address: str | None = None) -> av.container.InputContainer:
    """Open a file of any container that FFmpeg reads, or what it knows under an address of its own."""
    try:
        return av.open(address or file_url(path), options={"pattern_type": "none"})
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: name a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} cannot be opened as a video ({reason}): is it one, and whole?") from error


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it, which otherwise reads a name with a colon as an address."""
    return f"file:{path}"


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    pictures = [stream for stream in container.streams.video if not is_cover(stream)]
    if not pictures:
        container.close()
        found = f"only {kinds}" if (kinds := _kinds(container)) else "and nothing else either"
        raise SourceError(f"{path} has no moving picture, {found}: name a video")
    if pictures[0].codec_context is None:
        container.close()
        raise SourceError(f"{path} has a picture of an unknown kind: it may not have been copied whole")
    return pictures[0]


def _promised_end(stream: av.VideoStream) -> Fraction | None:
    """When the file says that its picture ends, in seconds; None if it does not say."""
    start = (stream.start_time or 0) * (stream.time_base or 0)
    if stream.duration:
        return Fraction(start + stream.duration * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))  # as Matroska has it
    return Fraction(match[1]) * 3600 + Fraction(match[2]) * 60 + Fraction(match[3]) if match else None


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that stands for the film, as a poster does."""
    return stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)


def _kinds(container: av.container.InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams}))


def _seconds(packet: av.Packet) -> str:
    return f"{float(packet.pts * packet.time_base):.2f} s" if packet.pts is not None else "an unknown time"
