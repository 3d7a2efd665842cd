"""Decoding a video stream: from a key frame on, past damage."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Any

import av
from av.codec.context import ThreadType
from av.codec.hwaccel import HWAccel

from midframe.media.colour.filters import PictureFilter
from midframe.media.pictures.decoding import TEMPORARY_ERRORS
from midframe.media.pictures.ffmpeg_decoding import UNSAFE_PROFILES
from midframe.media.reading.damage import Damage
from midframe.media.reading.hardware_decoding import PlanarConverter
from midframe.media.reading.survey import Survey
from midframe.media.reading.video_file import decoder_of, demux, time_of

SEEK_SECONDS = 2
"""Seconds before the wanted time to which is sought, since seeking is imprecise in some
containers."""
WITH_DISPLAY_SIZE = ("mov", "matroska")
"""Containers that state the display size of a video once for all its frames."""


class FrameDecoder:
    """Decodes the frames of one stream in open containers of one file.

    Args:
        index: of the stream.
        time_base: of the stream.
        survey: of the file.
        damage: collects what cannot be decoded.
        reopen: opens the file again; None for a source that can be read only once.
        hwaccel: device that decodes, for which containers were opened; None for the processor.
    """

    def __init__(
        self,
        index: int,
        time_base: Fraction,
        survey: Survey,
        damage: Damage,
        reopen: Callable[[], av.container.InputContainer] | None,
        hwaccel: HWAccel | None = None,
    ) -> None:
        self.index = index
        self.time_base = time_base
        self.survey = survey
        self.damage = damage
        self.reopen = reopen
        self.hwaccel = hwaccel

    def packets(self, container: Any, streams: Sequence[Any]) -> Iterator[Any]:
        """Yield packets with corrected timestamps."""
        return self.survey.correct_times(demux(container, streams))

    def frames(
        self, container: Any, begin: Fraction | None = None, *, report: bool = True
    ) -> Iterator[av.VideoFrame]:
        """Decode from the present position of a container, or from a key frame before a time;
        frames that cannot be decoded are skipped.

        A multi-threaded decoder loses intact frames beside a broken one, so decoding then restarts
        with a single thread.

        Args:
            container: of the file.
            begin: seconds to seek to; None for the present position.
            report: add damage to the report.
        """
        stream = container.streams[self.index]
        if begin is not None:
            self._seek(container, stream, begin)
        decoder = decoder_of(stream, self.hwaccel)
        convert = self._conversion(decoder.name)
        corrupt = set[int]()
        count = 0
        previous: av.VideoFrame | None = None
        aspect = decoder.sample_aspect_ratio
        for packet in self.packets(container, [stream]):
            if packet.is_corrupt and self.survey.mostly_corrupt:
                packet.is_corrupt = False  # the flag is useless; the decoder detects damage itself
            if packet.is_corrupt and packet.pts is not None:
                corrupt.add(packet.pts)
            if not packet.size and packet.pts is not None:
                # in Ogg, an empty packet repeats the previous frame
                if previous is not None and container.format.name == "ogg":
                    count += 1
                    yield _repeat_frame(previous, packet)
                continue
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:
                if error.errno in TEMPORARY_ERRORS:
                    raise
                if decoder.thread_type & ThreadType.FRAME and self.reopen:
                    yield from self._frames_again(begin, count, report=report)
                    return
                if report:
                    self.damage.add(time_of(packet), "a frame cannot be decoded")
                continue
            for frame in map(convert, frames) if convert else frames:
                if frame.is_corrupt or frame.pts in corrupt:
                    if report:
                        self.damage.add(time_of(frame, self.time_base), "a frame is damaged")
                    continue
                count += 1
                previous = frame
                if report and decoder.sample_aspect_ratio != aspect:
                    aspect = self._report_aspect(container, decoder, frame, aspect)
                yield frame

    def _conversion(self, decoder: str) -> Callable[[av.VideoFrame], av.VideoFrame] | None:
        """Return a function for all decoded frames, if they need one."""
        if self.hwaccel:
            return PlanarConverter().convert
        if decoder in UNSAFE_PROFILES:
            return PictureFilter(("sidedata", "mode=delete:type=ICC_PROFILE")).apply
        return None

    def _report_aspect(
        self, container: Any, decoder: Any, frame: av.VideoFrame, before: Fraction | None
    ) -> Fraction | None:
        """Report a change of the sample aspect ratio that the container does not override; return
        the new one."""
        after: Fraction | None = decoder.sample_aspect_ratio
        if before and after and not container.format.name.startswith(WITH_DISPLAY_SIZE):
            self.damage.add(
                time_of(frame, self.time_base),
                f"the sample aspect ratio changes from {before} to {after}: frames are shown "
                "too wide or too narrow",
            )
        return after

    def _frames_again(
        self, begin: Fraction | None, count: int, *, report: bool
    ) -> Iterator[av.VideoFrame]:
        """Decode again with a single thread; skip the first `count` frames, which were yielded
        already."""
        assert self.reopen, "checked before"
        with self.reopen() as container:
            container.streams[self.index].thread_type = "SLICE"
            yield from islice(self.frames(container, begin, report=report), count, None)

    def _seek(self, container: Any, stream: Any, begin: Fraction) -> None:
        """Seek to a key frame before a time; if the container seeks too far, go back to the start
        of the file."""
        target = round((begin - SEEK_SECONDS - self.survey.shift) / self.time_base)
        with suppress(av.FFmpegError):
            container.seek(target, stream=stream)
            first = next(
                (packet.pts for packet in container.demux(stream) if packet.pts is not None), None
            )
            late = first is None or first * self.time_base + self.survey.shift > begin
            if late:
                container.seek(container.start_time or 0)
            else:
                container.seek(target, stream=stream)


def _repeat_frame(frame: av.VideoFrame, packet: Any) -> av.VideoFrame:
    copy = frame.reformat(format=frame.format.name, width=frame.width, height=frame.height)
    copy.pts = packet.pts
    copy.time_base = frame.time_base
    copy.duration = packet.duration or 0
    return copy
