"""Reading a video: its frames with exact times, and the packets of its other streams as they
are."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import av

from midframe.errors import SourceError
from midframe.media.colour.conversion import Colour, colour_of
from midframe.media.colour.geometry import FrameArranger, Layout
from midframe.media.reading.completeness import ONE_A_PACKET, check_end, check_frames
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_clock import FrameClock, TimedFrame
from midframe.media.reading.frame_decoder import SEEK_SECONDS, FrameDecoder
from midframe.media.reading.frame_rate import SourceRate, measure_rate
from midframe.media.reading.interlacing import Deinterlacer
from midframe.media.reading.scenes import CutDetector
from midframe.media.reading.sights import Sight, thumbnail
from midframe.media.reading.survey import (
    FASTEST,
    Survey,
    packets_near,
    take_survey,
    with_even_times,
)
from midframe.media.reading.video_file import (
    demux,
    describe_stream,
    find_video_stream,
    open_video,
    read_error,
)
from midframe.options import check_time_range

log = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)
"""Of files that state neither times nor a rate."""
ORDERED = ("avi", "ogg")
"""Containers whose empty packets, and packets without times, must meet a decoder that is not behind
by some frames."""
DECODING_TIMES = ("asf", "mxf")
"""Containers that have no place for times of showing, or not for all codecs."""
ORDER_FRAMES = 100
"""So many frames of them are decoded to see whether their order differs from that of the times."""


@dataclass(frozen=True)
class Part:
    """The part of a video to show, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        check_time_range(self.start, self.end)


WHOLE = Part()
"""A video from its first frame to its last."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int | Fraction
    """When it is shown, in the time base of its stream."""
    begins_scene: bool
    duration: int | Fraction = 0
    """For how long, in the same time base; 0 if the file does not state it."""


class VideoReader:
    """An open video. Close it, or use it in a `with` block.

    Args:
        path: of the video.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; None looks for none.
        part: what is read of its picture.
        deinterlace: make whole frames of the two fields that interlaced ones hold.
        strict: refuse a source that is damaged, instead of bridging the damage.
        holds_matrix, holds_aspect: the result carries a display matrix and a sample aspect ratio,
            so frames need not be rotated or scaled.
        survey: of the same file, if it was taken before.

    Raises:
        VideoError: the file is missing, is no video, or has no picture.
    """

    def __init__(
        self,
        path: Path,
        cut_threshold: float | None = None,
        part: Part = WHOLE,
        *,
        deinterlace: bool = False,
        strict: bool = False,
        holds_matrix: bool = True,
        holds_aspect: bool = True,
        survey: Survey | None = None,
    ) -> None:
        self.path = path
        self.cut_threshold, self.part, self.deinterlace = cut_threshold, part, deinterlace
        self.damage = Damage(path, strict=strict)
        self.warnings: list[str] = []
        """Unusual facts about the source that are no damage."""
        self.frames_read = 0
        self.sights: list[Sight] = []
        """What was read of the picture, for the proof of a result."""
        self.container = self._open()
        self.stream = find_video_stream(self.container, path)
        self.time_base = self._time_base()
        self.description = describe_stream(self.container, self.stream.index)
        """Of the picture's stream, as FFmpeg prints it."""
        self._counted = self.container.format.name == "avi"
        """AVI counts frames: only the order of decoding states when they are shown."""
        self.stream.thread_type = "SLICE" if self.container.format.name in ORDERED else "AUTO"
        self.survey = self._survey() if survey is None else survey
        if self._stamped_in_order_of_decoding():
            self._counted, self.stream.thread_type = True, "SLICE"
            self.survey = self._survey() if survey is None else survey
        for jump in self.survey.jumps:
            self.damage.add(jump, "the timestamps restart (joined or interrupted recording)")
        if self.survey.mostly_corrupt:
            self.damage.add(
                None, "most video packets are flagged as damaged; all decoded frames are used"
            )
        stated = [
            rate
            for rate in (self.stream.average_rate, self.stream.guessed_rate)
            if rate and rate <= FASTEST
        ]
        self._untimed = self.survey.has_no_times
        if self._untimed:
            self.survey = with_even_times(self.survey, next(iter(stated), DEFAULT_RATE))
            self.damage.add(
                None, "the frames have no usable timestamps and are shown at a constant rate"
            )
        times = self.survey.times
        self.start = times[0] if times else Fraction(0)
        """When the first frame is shown, in seconds."""
        self.source_rate = self._measured(stated)
        self.rate = self.source_rate.rate
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        """Duration of a frame that states none, in the time base."""
        self._arranger = FrameArranger(
            self.description,
            self.stream,
            self.time_base,
            self.damage,
            holds_matrix=holds_matrix,
            holds_aspect=holds_aspect,
        )
        reopen = self._open if self._can_reopen else None
        self._decoder = FrameDecoder(
            self.stream.index, self.time_base, self.survey, self.damage, reopen
        )
        self.others: list[Any] = [
            stream for stream in self.container.streams if stream is not self.stream
        ]
        """All streams but the picture."""

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @cached_property
    def expected_frames(self) -> float | None:
        """How many frames the part has, by the packets of the file."""
        return float(len(self._times_in_part())) if self.survey.times else None

    @property
    def layout(self) -> Layout | None:
        """How frames lie; known from the first frame on."""
        return self._arranger.layout

    @property
    def end(self) -> Fraction | None:
        """When the last frame of the whole video is no longer shown, in seconds; None if that is
        not known."""
        return self.survey.end if self.part.end is None else None

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Decode the first frame, in a container of its own: not every file can be rewound."""
        try:
            with self._open() as container:
                picture = next(self._decoded(container, report=False), None)
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error
        if picture is None:
            raise self._empty()
        return self._arranger.arrange(picture), colour_of(picture)

    def read(self) -> Iterator[Frame]:
        """Yield every frame of the part, in the order of showing.

        Raises:
            VideoError: the file cannot be read, or is damaged and `strict` is set.
        """
        begin, until = self._edges()
        cuts = CutDetector(self.cut_threshold) if self.cut_threshold else None
        end = None
        try:
            for picture, pts, duration in self._pictures(begin):
                end = pts + (duration or self.frame_duration)
                time = Fraction(pts * self.time_base)
                if until is not None and time >= until:
                    break
                begins_scene = bool(cuts and cuts.begins_scene(picture))
                if time >= begin:
                    self.frames_read += 1
                    arranged = self._arranger.arrange(picture)
                    self.sights.append(Sight(time, thumbnail(arranged)))
                    yield Frame(arranged, pts, begins_scene, duration)
            else:
                self._check_end(end)
                self._check_all_decoded()
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error
        if not self.frames_read:
            raise SourceError(
                f"{self.path} has no frame after {self.part.start} s: choose an earlier --start"
            )

    def log_damage(self) -> None:
        """Log what is damaged or unusual in what was read, for callers that write no report."""
        for text in (*self.warnings, *(f"damaged: {place}" for place in self.damage.places)):
            log.warning("%s: %s", self.path, text)

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """Yield the packets of other streams with times of the corrected clock, otherwise as they
        are in the file."""
        container = streams[0].container if streams else self.container
        try:
            yield from (
                packet for packet in self._decoder.packets(container, streams) if packet.size
            )
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error

    def _open(self) -> av.container.InputContainer:
        return open_video(self.path)

    def _time_base(self) -> Fraction:
        return self.stream.time_base or Fraction(1, 90000)

    def _edges(self) -> tuple[Fraction, Fraction | None]:
        """Where the part begins and ends, in seconds."""
        begin = self.start + Fraction(str(self.part.start))
        return begin, None if self.part.end is None else self.start + Fraction(str(self.part.end))

    def _times_in_part(self) -> list[Fraction]:
        """When the frames of the part are shown, by the packets of the file."""
        begin, until = self._edges()
        return [
            time for time in self.survey.times if begin <= time and (until is None or time < until)
        ]

    def _measured(self, stated: Sequence[Fraction]) -> SourceRate:
        within = self._times_in_part()
        return measure_rate(
            within if len(within) > 1 else self.survey.times, self.time_base, stated
        )

    def _survey(self) -> Survey:
        """Look at the packets of the picture and the sound; of a part, only at those near it, if
        that can be."""
        try:
            with self._open() as container:
                picture = container.streams[self.stream.index]
                jumps = bool(container.format.flags & av.format.Flags.ts_discont.value)
                if self.part == WHOLE or jumps:
                    packets = demux(container, [picture, *container.streams.audio])
                else:
                    start, end = self.part.start, self.part.end
                    packets = packets_near(
                        container, picture, start, end, seekable=not self._counted
                    )
                return take_survey(packets, picture, counted=self._counted, clock_jumps=jumps)
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error

    def _stamped_in_order_of_decoding(self) -> bool:
        """Whether packets state when they are decoded, and not when they are shown, though that
        differs."""
        if self.container.format.name not in DECODING_TIMES or not self.survey.rising:
            return False
        if not (self.stream.codec_context.has_b_frames or self.survey.delayed):
            return False
        with self._open() as container, suppress(av.FFmpegError):
            decoded = (
                frame.pts for frame in container.decode(container.streams[self.stream.index])
            )
            times = [pts for pts in islice(decoded, ORDER_FRAMES) if pts is not None]
            return times != sorted(times)
        return False

    def _pictures(self, begin: Fraction) -> Iterator[TimedFrame]:
        """Every picture from a key frame before a time on, with its pts and duration, deinterlaced
        on request."""
        clock = FrameClock(
            round(self.start / self.time_base),
            self.frame_duration,
            counted=self._counted,
            untimed=self._untimed,
        )
        spread = clock.spread(self._decoded(self.container, begin))
        if not self.deinterlace:
            yield from spread
            return
        fields = Deinterlacer()
        for picture, pts, duration in spread:
            yield from fields.feed(picture, pts, duration)
        yield from fields.rest()

    def _decoded(
        self, container: Any, begin: Fraction | None = None, *, report: bool = True
    ) -> Iterator[av.VideoFrame]:
        """Decode from where a container is, or from a key frame before a time; see
        `FrameDecoder.frames`."""
        seekable = not (self._counted or self.survey.jumps) and self.survey.timed
        sought = begin if seekable and self.part.start > SEEK_SECONDS else None
        return self._decoder.frames(container, sought, report=report)

    _can_reopen = True
    """The source can be read again from its beginning."""

    def _check_all_decoded(self) -> None:
        codec = self.stream.codec_context.codec.canonical_name
        if (
            self.part == WHOLE
            and codec in ONE_A_PACKET
            and not self.deinterlace
            and self.survey.timed
        ):
            shown = [sight.time for sight in self.sights]
            check_frames(self.damage, self.survey, shown, self.time_base, self.rate)

    def _check_end(self, end: int | Fraction | None) -> None:
        if end is None:
            raise self._empty()
        check_end(self.damage, self.survey, self.stream, end * self.time_base, self.rate)

    def _empty(self) -> SourceError:
        return SourceError(
            f"{self.path} has no frame that can be decoded: check in a player that the file is "
            "complete"
        )
