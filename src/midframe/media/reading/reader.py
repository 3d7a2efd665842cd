"""A video file as a source: frames with exact times, and the unchanged packets of other streams."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import av

from midframe.errors import SourceError
from midframe.media.colour.conversion import Colour
from midframe.media.colour.geometry import OutputGeometry
from midframe.media.reading.completeness import (
    ONE_FRAME_PER_PACKET,
    check_end,
    check_frames,
    check_y4m,
)
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_clock import FrameClock, TimedFrame
from midframe.media.reading.frame_converter import FrameConverter
from midframe.media.reading.frame_decoder import SEEK_SECONDS, FrameDecoder
from midframe.media.reading.frame_rate import measure_rate
from midframe.media.reading.hardware_decoding import (
    accelerator,
    check_device,
    decodes_exactly,
)
from midframe.media.reading.interlacing import deinterlace_frames, warn_of_interlacing
from midframe.media.reading.packet_survey import survey_file
from midframe.media.reading.pulldown import even_times, move_frames
from midframe.media.reading.source import WHOLE_SOURCE, Frame, FrameSource, TimeRange
from midframe.media.reading.stream_facts import (
    DEFAULT_TIME_BASE,
    choose_threads,
    contents_of,
    stated_rates,
    uses_dts,
)
from midframe.media.reading.survey import Survey, with_even_times
from midframe.media.reading.telecine import warn_of_telecine
from midframe.media.reading.thumbnails import ThumbnailList
from midframe.media.reading.time_range import TimeRangeSelector
from midframe.media.reading.video_file import find_video_stream, open_video, read_error

DEFAULT_RATE = Fraction(25)
"""Frames per second of files that state neither times nor a rate."""
DECODING_TIME_FORMATS = ("asf", "mxf")
"""Containers that store decoding times instead of presentation times, at least for some codecs."""
ORDER_CHECK_FRAMES = 100
"""Number of frames that are decoded to detect whether presentation order differs from the
timestamps."""


class VideoReader:
    """An open video file: a `FrameSource`.

    Args:
        path: of the video.
        cut_threshold: minimum scene change score of a cut, from 0 to 100; None for no cuts.
        time_range: of the video stream to read.
        deinterlace: convert interlaced frames to progressive ones.
        strict: raise a SourceError for a damaged source, instead of bridging the damage.
        stores_display_matrix: the result can store a display matrix, so frames are not rotated.
        stores_aspect_ratio: it can store a sample aspect ratio, so frames are not scaled.
        threads: decode several frames in parallel.
        survey: an earlier survey of the same file.
        hwaccel: type of the device that decodes, as in "cuda"; None for the processor. What the
            device cannot decode exactly is decoded by the processor, with a warning.

    Raises:
        OptionError: the device is not available.
        VideoError: the file is missing, is not a video, or has no video stream.
    """

    def __init__(
        self,
        path: Path,
        cut_threshold: float | None = None,
        time_range: TimeRange = WHOLE_SOURCE,
        *,
        deinterlace: bool = False,
        strict: bool = False,
        stores_display_matrix: bool = True,
        stores_aspect_ratio: bool = True,
        threads: bool = True,
        survey: Survey | None = None,
        hwaccel: str | None = None,
    ) -> None:
        self.path = path
        self.time_range = time_range
        self.deinterlace = deinterlace
        self.damage = Damage(path, strict=strict)
        self.warnings: list[str] = []
        self._hwaccel = accelerator(hwaccel) if hwaccel and self._supports(hwaccel) else None
        self.container = self._open()
        self.stream = find_video_stream(self.container, path)
        self.time_base = self.stream.time_base or DEFAULT_TIME_BASE
        self._uses_dts = uses_dts(self.container)
        choose_threads(self.container, self.stream, threads=threads and not self._hwaccel)
        self.survey = self._survey() if survey is None else survey
        if self._has_only_decoding_times():
            self._uses_dts = True
            self.stream.thread_type = "SLICE"
            self.survey = self._survey() if survey is None else survey
        stated = stated_rates(self.stream)
        self._ignores_pts = self.survey.has_no_times
        self._report_survey()
        if self._ignores_pts:
            self.survey = with_even_times(self.survey, next(iter(stated), DEFAULT_RATE))
        self._first_time = next(iter(self.survey.times), Fraction(0))
        """Time of the first frame before pulldown is removed, in seconds."""
        self._moved = even_times(self.survey.times)
        """New times of frames with pulldown."""
        times = self.survey.times
        if self._moved:
            times = tuple(self._moved.get(time, time) for time in times)
            self.survey = replace(self.survey, times=times)
            self.warnings.append(
                f"{len(self._moved)} frames have 3:2 pulldown: they are shown at even times, up to "
                "8 ms later than the file states"
            )
        self.start = times[0] if times else Fraction(0)
        """Time of the first frame, in seconds."""
        self._selection = TimeRangeSelector(
            path, time_range, self.start, self.time_base, cut_threshold
        )
        within = self._selection.within(times)
        self.expected_frames = float(len(within)) if times else None
        self.source_rate = measure_rate(
            within if len(within) > 1 else times, self.time_base, stated
        )
        self.rate = self.source_rate.rate
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        self._stored_tags = {
            "stores_display_matrix": stores_display_matrix,
            "stores_aspect_ratio": stores_aspect_ratio,
        }
        self._decoder = FrameDecoder(
            self.stream.index, self.time_base, self.survey, self.damage, self._open, self._hwaccel
        )
        self.other_streams: list[Any] = [
            stream for stream in self.container.streams if stream is not self.stream
        ]
        self.contents = contents_of(self.container, self.stream, self.survey)

    def interrupt(self) -> None:
        """See `FrameSource`: files are read without waiting."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @cached_property
    def _converter(self) -> FrameConverter:
        """Create the converter from the first frame, which is decoded in a container of its own:
        not every file can be rewound."""
        try:
            with self._open() as container:
                first = next(self._decode(container, report=False), None)
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error
        if first is None:
            raise self._empty()
        return FrameConverter(
            first,
            self.contents.description,
            self.stream.sample_aspect_ratio,
            self.time_base,
            self.damage,
            **self._stored_tags,
        )

    @property
    def geometry(self) -> OutputGeometry:
        return self._converter.geometry

    @property
    def thumbnails(self) -> ThumbnailList:
        return self._selection.thumbnails

    @property
    def frames_read(self) -> int:
        return self._selection.frames_read

    @property
    def end(self) -> Fraction | None:
        """End of the last frame of the whole video, in seconds; None if it is unknown."""
        return self.survey.end if self.time_range.end is None else None

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """See `FrameSource`."""
        return self._converter.first, self._converter.colour

    def read(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        try:
            yield from self._selection.frames(
                self._pictures(), self._converter, self.frame_duration, self._check_complete
            )
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error

    def decode_again(self) -> Iterator[av.VideoFrame]:
        """See `FrameSource`."""
        with self._open() as container:
            yield from self._decoder.frames(container, report=False)

    def reopen(self) -> "AbstractContextManager[FrameSource]":
        """See `FrameSource`."""
        if not self.other_streams:
            return nullcontext(self)
        return VideoReader(self.path, survey=self.survey, strict=self.damage.strict)

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """See `FrameSource`."""
        if not streams:  # demux() would yield the packets of all streams
            return
        container = streams[0].container
        try:
            yield from (
                packet for packet in self._decoder.packets(container, streams) if packet.size
            )
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error

    def _open(self) -> av.container.InputContainer:
        return open_video(self.path, hwaccel=self._hwaccel)

    def _supports(self, device: str) -> bool:
        """Return whether a device decodes this video; add a warning if it does not."""
        check_device(device)
        exact = decodes_exactly(self.path, device)
        if not exact:
            self.warnings.append(
                f"the processor decodes the video: {device} does not support it exactly"
            )
        return exact

    def _survey(self) -> Survey:
        return survey_file(self.path, self.stream.index, self.time_range, uses_dts=self._uses_dts)

    def _report_survey(self) -> None:
        """Add the damage that the survey found to the report; refuse encrypted video."""
        if self.survey.encrypted:
            raise SourceError(f"{self.path} is encrypted (DRM): name a file without encryption")
        for jump in self.survey.jumps:
            self.damage.add(jump, "the timestamps restart (joined or interrupted recording)")
        if self.survey.mostly_corrupt:
            self.damage.add(
                None, "most video packets are flagged as damaged; all decoded frames are used"
            )
        if self.survey.has_no_times:
            self.damage.add(
                None, "the frames have no usable timestamps and are shown at a constant rate"
            )

    def _has_only_decoding_times(self) -> bool:
        """Return whether packets state only decoding times although presentation order differs."""
        if self.container.format.name not in DECODING_TIME_FORMATS or not self.survey.rising:
            return False
        if not (self.stream.codec_context.has_b_frames or self.survey.delayed):
            return False
        with self._open() as container, suppress(av.FFmpegError):
            decoded = (
                frame.pts for frame in container.decode(container.streams[self.stream.index])
            )
            times = [pts for pts in islice(decoded, ORDER_CHECK_FRAMES) if pts is not None]
            return times != sorted(times)
        return False

    def _pictures(self) -> Iterator[TimedFrame]:
        """Yield every frame from a key frame before the time range, with pts and duration."""
        clock = FrameClock(
            round(self._first_time / self.time_base),
            self.frame_duration,
            uses_dts=self._uses_dts,
            ignores_pts=self._ignores_pts,
        )
        decoded = clock.spread(self._decode(self.container, self._selection.begin))
        moved = move_frames(decoded, self._moved, self.time_base) if self._moved else decoded
        spread = warn_of_telecine(moved, self.warnings, self.time_base, self.rate)
        if self.deinterlace:
            return deinterlace_frames(spread)
        return warn_of_interlacing(spread, self.warnings, self.time_base)

    def _decode(
        self, container: Any, begin: Fraction | None = None, *, report: bool = True
    ) -> Iterator[av.VideoFrame]:
        """Decode from the present position, or from a key frame before a time; see
        `FrameDecoder.frames`."""
        seekable = not (self._uses_dts or self.survey.jumps) and self.survey.timed
        sought = begin if seekable and self.time_range.start > SEEK_SECONDS else None
        return self._decoder.frames(container, sought, report=report)

    def _check_complete(self, end: int | Fraction | None) -> None:
        """Report a stream that ends early, and frames that a decoder dropped silently."""
        if end is None:
            if self.time_range.start:  # the time range begins after the last frame
                return
            raise self._empty()
        check_end(self.damage, self.survey, self.stream, end * self.time_base, self.rate)
        self._check_dropped_frames()
        if self.container.format.name == "yuv4mpegpipe":
            check_y4m(self.damage, self.path, self._converter.source, end * self.time_base)

    def _check_dropped_frames(self) -> None:
        codec = self.stream.codec_context.codec.canonical_name
        if (
            self.time_range == WHOLE_SOURCE
            and codec in ONE_FRAME_PER_PACKET
            and not self.deinterlace
            and self.survey.timed
        ):
            shown = list(self.thumbnails.times())
            check_frames(self.damage, self.survey, shown, self.time_base, self.rate)

    def _empty(self) -> SourceError:
        return SourceError(
            f"{self.path} has no frame that can be decoded: check in a player that the file is "
            "complete"
        )
