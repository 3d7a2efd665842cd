"""A result whose frames are kept in segments until all of them are there."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.colour.side_data import with_side_data
from midframe.media.reading.reader import WHOLE, VideoReader
from midframe.media.streams.carriers import Carrier
from midframe.media.streams.sound import ConvertedSound
from midframe.media.writing.encoders import Encoding, lossless_encoding
from midframe.media.writing.mark import mark_of, read_mark
from midframe.media.writing.writer import VideoWriter
from midframe.video.disk_space import check_space
from midframe.video.proof import Expected, Stretch, prove
from midframe.video.retimer import Output, Retimer
from midframe.video.segments import JOB_FILE, Segments, segments_folder
from midframe.video.target import Job, Target, form_of
from midframe.video.target_checks import check_own, check_target
from midframe.video.watchdog import Watchdog, stall_seconds


class SegmentTarget(Target):
    """A target whose frames wait in segments until all of them are there."""

    segments: Segments | None = None
    watchdog: Watchdog
    """Over the encoder."""

    @property
    def appears(self) -> Path:
        """What appears when the result is complete, and beside which the work lies."""
        return self.path

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        check_target(source, self.appears, overwrite)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        return False

    def _mark(self, settings: Mapping[str, Any]) -> str:
        return mark_of({**settings, "mute": self.options.mute})

    def _is_marked(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """As `is_complete`, for a file that holds a mark."""
        unfinished = overwrite and (segments_folder(self.path) / JOB_FILE).exists()
        if not self.path.exists() or unfinished:
            return False
        if read_mark(self.path) == self._mark(settings):
            return True
        if not overwrite:
            raise VideoError(
                f"{self.path} exists and was made with other options: name another OUT, or give "
                "--overwrite"
            )
        check_own(self.path)
        return False

    def check_progress(self) -> None:
        self.watchdog.check()

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        self.job, self.encoding = job, self._encoding(job)
        self.watchdog = Watchdog(
            stall_seconds(self.encoding.width, self.encoding.height),
            f"{self.encoding.encoder} makes no progress: choose another --codec or --preset",
        )
        self.segments = Segments(self.appears, job.settings, resume=resume, overwrite=overwrite)
        frames = job.reader.expected_frames
        ratio = float(job.timeline.rate * job.timeline.slow / job.reader.rate)
        check_space(self.appears.parent, self.encoding, frames and frames * ratio)
        self._rehearse()
        return self.segments.finished

    def write(self, outputs: Iterable[Output]) -> None:
        assert self.segments, "begun"
        for segment, frames in groupby(outputs, key=lambda output: output.segment):
            try:
                with self.watchdog.step():
                    encoder = self.encoding.open_encoder()
                self.segments.add(segment, encoder.extradata, self._encoded(encoder, frames))
            except av.FFmpegError as error:
                raise VideoError(
                    f"{self.encoding.encoder} cannot encode these frames ({error.strerror}): "
                    "choose another --codec"
                ) from error

    def give_up(self) -> Path | None:
        if self.segments is None:
            return None
        if not self.segments.finished:
            self.segments.remove()
            return None
        self.segments.leave()
        return self.segments.folder

    def _prove(self, retimer: Retimer, writer: VideoWriter | None = None) -> None:
        """Play the result and compare it with the source."""
        job, reader = self.job, self.job.reader
        carriers = (
            [
                (index, each)
                for index, each in writer.others.carriers.items()
                if each.stream.type == "audio"
            ]
            if writer
            else []
        )
        expected = Expected(
            sights=reader.sights,
            end=retimer.own_end,
            sounds=[_heard(reader, index, carrier, retimer) for index, carrier in carriers],
            streams=writer.others.counts if writer else {},
            slow=job.timeline.slow,
            step=1 / job.timeline.rate,
            stretched=job.timeline.slow != 1
            or reader.part != WHOLE
            or bool(writer and writer.converted),
            shift=retimer.origin if reader.part != WHOLE else Fraction(0),
            aspect=self.encoding.sample_aspect_ratio,
            metadata=writer.carried_metadata if writer else {},
        )
        prove(self.path, job.report, expected)

    def _encoding(self, job: Job) -> Encoding:
        return lossless_encoding(job.picture, job.colour, **form_of(job))

    def _rehearse(self) -> None:
        """See before the work that its end will be possible."""

    def _encoded(self, encoder: Any, frames: Iterable[Output]) -> Iterator[av.Packet]:
        for output in frames:
            frame = self.encoding.frame(output.picture, self.job.colour, output.pts)
            if output.captions is not None:
                frame = with_captions(frame, output.captions)
            yield from self.watchdog.watch(encoder.encode_lazy(frame))
        yield from self.watchdog.watch(encoder.encode_lazy(None))


def with_captions(frame: av.VideoFrame, source: av.VideoFrame) -> av.VideoFrame:
    """A frame for the encoder with the closed captions of a source frame."""
    captioned = with_side_data(frame, source)
    captioned.pts, captioned.time_base, captioned.pict_type = frame.pts, frame.time_base, 0
    return captioned


def _heard(reader: VideoReader, index: int, carrier: Carrier, retimer: Retimer) -> Stretch | None:
    """When a sound stream of the source is heard, within the part that is shown; None if that is
    not known."""
    span, part = reader.survey.spans.get(index), reader.part != WHOLE
    if span is None:
        return None
    begin, end = span.begin, span.end
    if (
        isinstance(carrier, ConvertedSound)
        and carrier.begin is not None
        and carrier.end is not None
    ):
        offset = retimer.origin if part else 0  # packets do not state the times of all codecs
        begin, end = carrier.begin + offset, carrier.end + offset
    if part:
        begin, end = max(begin, retimer.origin), min(end, retimer.end)
    return Stretch(begin, end) if begin < end else None
