"""Reading a video: its frames with exact times, and the packets of its other streams as they are."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.video.colour import Colour, colour_of
from midframe.video.scenes import CutDetector
from midframe.video.timeline import source_rate

FIRST_FRAMES = 300
"""So many frames tell the frame rate."""
MISSING_SECONDS = 0.5
"""A picture that ends more than this before the file says is taken for a file cut short."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int
    """When it is shown, in the time base of its stream."""
    begins_scene: bool


class VideoReader:
    """An open video. Close it, or use it in a `with` block.

    Raises:
        VideoError: the file is missing, is no video, or has no picture.
    """

    def __init__(self, path: Path, cut_threshold: float | None = None) -> None:
        self.path = path
        self.container = open_video(path)
        self.stream = _video_stream(self.container, path)
        self.stream.thread_type = "AUTO"
        self.cut_threshold = cut_threshold
        self.time_base = self.stream.time_base or Fraction(1, 90000)
        self._counted = self.container.format.name == "avi" and self.stream.codec_context.has_b_frames
        """AVI knows no times; of frames that are stored in another order than shown, FFmpeg guesses wrong ones."""
        times = self._first_times()
        self.start = times[0] if times else Fraction(0)
        """When the first frame is shown, in seconds."""
        stated = [rate for rate in (self.stream.average_rate, self.stream.guessed_rate) if rate]
        self.rate = source_rate(times, self.time_base, stated)
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        """Of a frame that does not say, in the time base."""
        self.others: list[Any] = [stream for stream in self.container.streams if stream is not self.stream]
        """All streams but the picture."""

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def expected_frames(self) -> int | None:
        """How many frames the file says it has, or its length suggests; None if it says nothing."""
        if self.stream.frames:
            return int(self.stream.frames)
        seconds = self.container.duration / av.time_base if self.container.duration else None
        return round(seconds * self.rate) if seconds else None

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Decode one frame to learn of the picture, in a container of its own: not every file can be wound back."""
        try:
            with open_video(self.path) as container:
                picture = next(container.decode(container.streams[self.stream.index]), None)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        if picture is None:
            raise VideoError(f"{self.path} holds no picture that can be decoded: play it to see whether it is whole")
        return picture, colour_of(picture)

    def _first_times(self) -> list[Fraction]:
        """When the first frames are shown, in seconds, in order; they are not decoded."""
        try:
            with open_video(self.path) as container:
                packets = islice(container.demux(container.streams[self.stream.index]), FIRST_FRAMES)
                moments = [packet.dts if self._counted else packet.pts for packet in packets]
                return sorted(moment * self.time_base for moment in moments if moment is not None)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error

    def read(self, kept: Sequence[Any] = ()) -> Iterator[Frame | av.Packet]:
        """Yield every frame in the order of showing, and between them the packets of other streams.

        Args:
            kept: of these streams.

        Raises:
            VideoError: the file is damaged or cut short.
        """
        detector = CutDetector(self.stream, self.cut_threshold) if self.cut_threshold else None
        last, end = None, None
        try:
            for packet in self.container.demux([self.stream, *kept]):
                if packet.stream is not self.stream:
                    if packet.size:
                        yield packet
                    continue
                if packet.is_corrupt:
                    raise VideoError(f"{self.path} is damaged at {_seconds(packet)}: it may not have been copied whole")
                for picture in packet.decode():
                    last = self._pts(picture, last)
                    end = last + (picture.duration or self.frame_duration)
                    yield Frame(picture, last, bool(detector and detector.begins_scene(picture)))
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        self._check_end(end)

    def _pts(self, picture: av.VideoFrame, last: int | None) -> int:
        """The frame's time; one that has none, or goes back, follows its predecessor."""
        if picture.pts is not None and (last is None or picture.pts > last) and not self._counted:
            return int(picture.pts)
        return round(self.start / self.time_base) if last is None else last + self.frame_duration

    def _check_end(self, end: int | None) -> None:
        if end is None:
            raise VideoError(f"{self.path} holds no picture that can be decoded: play it to see whether it is whole")
        promised = _promised_end(self.stream)
        missing = 0 if promised is None else promised - end * self.time_base
        if missing > max(MISSING_SECONDS, float(2 / self.rate)):
            raise VideoError(f"{self.path} ends {float(missing):.1f} s too early: it may not have been copied whole")

    def _unreadable(self, error: av.FFmpegError) -> VideoError:
        return VideoError(f"{self.path} cannot be decoded ({error.strerror}): it may not have been copied whole")


@dataclass(frozen=True)
class Part:
    """The part of a video to show, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"from {self.start} s to {self.end} s is no part of a video: start before end is needed")

    def frames_of(self, reader: VideoReader) -> Iterator[Frame]:
        """The frames whose times lie in the part; reading ends with it."""
        for frame in reader.read():
            assert isinstance(frame, Frame), "no other streams are read"
            seconds = frame.pts * reader.time_base - reader.start
            if self.end is not None and seconds >= Fraction(self.end):
                return
            if seconds >= Fraction(self.start):
                yield frame

    def frames_in(self, reader: VideoReader) -> float | None:
        """How many frames the part has, if known."""
        total = reader.expected_frames
        if total is None:
            return None
        last = float(total) if self.end is None else min(float(total), self.end * float(reader.rate))
        return max(0.0, last - self.start * float(reader.rate))


WHOLE = Part()
"""A video from its first frame to its last."""


def open_video(path: Path) -> av.container.InputContainer:
    """Open a file of any container that FFmpeg reads."""
    try:
        return av.open(str(path))
    except FileNotFoundError as error:
        raise VideoError(f"{path} does not exist: name a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path} cannot be opened as a video ({reason}): is it one, and whole?") from error


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    pictures = [stream for stream in container.streams.video if not is_cover(stream)]
    if not pictures:
        container.close()
        raise VideoError(f"{path} has no moving picture, only {_kinds(container) or 'nothing'}: name a video")
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
