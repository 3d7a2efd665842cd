"""Where the result goes: a video, an animation, pictures in a folder, or standard output.

What is encoded is kept in segments (`work`) until all of it is there, but for standard output, which cannot wait.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.images import Array, writes
from midframe.video.animation import FASTEST_GIF, SUFFIXES, plays_of, write_animation
from midframe.video.carriers import Carrier
from midframe.video.carrying import Span, StreamsFailed
from midframe.video.colour import Colour, to_rgb
from midframe.video.encoders import Encoding, choose_encoding, lossless_encoding
from midframe.video.pictures import DEFAULT_NAME, is_pattern, numbered, write_pictures
from midframe.video.pipes import STREAM, PipeWriter, pipe_encoding
from midframe.video.proof import Expected, Stretch, prove
from midframe.video.reader import WHOLE, VideoReader
from midframe.video.rehearsal import make_plan
from midframe.video.report import VideoReport, check_pictures
from midframe.video.retimer import Output, Retimer
from midframe.video.side_data import with_side_data
from midframe.video.sound import ConvertedSound
from midframe.video.space import check_space
from midframe.video.streams import Plan, plan_time_code
from midframe.video.timeline import ConstantRate, Timeline, TrueTimes
from midframe.video.work import Work
from midframe.video.writer import CONTAINERS, VideoWriter


@dataclass
class Job:
    """What is to be done."""

    reader: VideoReader
    picture: av.VideoFrame
    """A frame of the source."""
    colour: Colour
    """How its samples stand for colours."""
    timeline: Timeline
    settings: Mapping[str, Any]
    """All that decides the frames, in numbers and texts."""
    report: VideoReport = field(default_factory=VideoReport)


class Target:
    """Standard output: frames go out as they come.

    Args:
        path: the name of the result.
        mute: leave sound out.
        codec: codec, crf, preset and encoder_options as in `choose_encoding`.
    """

    def __init__(self, path: Path, *, mute: bool = False, codec: Mapping[str, Any] | None = None) -> None:
        self.path, self.mute, self.codec = path, mute, codec or {}
        self.job: Job
        self.encoding: Encoding

    holds_matrix = False
    """The result carries a display matrix, so pictures need not be rotated."""
    holds_aspect = True
    """The result carries a sample aspect ratio, so pictures need not be scaled."""
    constant = True
    """The result can only have frames at equal steps."""

    def check(self, source: Path, overwrite: bool) -> None:
        """See that a result may be written; a VideoError says why it may not."""

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        """Prepare to write; returns how many segments are finished already."""
        self.job, self.encoding = job, pipe_encoding(job.picture, job.colour, **self._form(job))
        if isinstance(job.timeline, TrueTimes):
            raise VideoError("y4m has frames at equal steps alone: leave --vfr out")
        if resume:
            raise VideoError("what goes to standard output cannot be gone on with: leave --resume out")
        job.report.left_out = tuple(f"{each.type} stream {each.index} (y4m)" for each in job.reader.others)
        return 0

    def write(self, outputs: Iterable[Output]) -> None:
        """Take the frames to show, in order."""
        try:
            with PipeWriter(self.encoding, self.job.colour) as writer:
                for output in outputs:
                    writer.write(output.picture)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"standard output cannot be written to ({error}): is the program after it there?"
            ) from error

    def finish(self, retimer: Retimer) -> None:
        """Give the result its name once all frames are there, and see that it has all it should."""

    def give_up(self) -> Path | None:
        """Clean up after a failure; returns where finished segments are, if there are any."""
        return None

    @staticmethod
    def _form(job: Job) -> dict[str, Any]:
        assert job.reader.layout, "the first picture was read"
        shape = job.reader.layout.sample_aspect_ratio
        return {"time_base": job.timeline.time_base, "rate": job.timeline.rate, "pixel_shape": shape}


class FileTarget(Target):
    """A target whose frames wait in segments until all of them are there."""

    work: Work | None = None

    @property
    def appears(self) -> Path:
        """What appears when the result is complete, and beside which the work lies."""
        return self.path

    def check(self, source: Path, overwrite: bool) -> None:
        check_target(source, self.appears, overwrite)

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        self.job, self.encoding = job, self._encoding(job)
        self.work = Work(self.appears, job.settings, resume=resume, overwrite=overwrite)
        frames = job.reader.expected_frames
        ratio = float(job.timeline.rate * job.timeline.slow / job.reader.rate)
        check_space(self.appears.parent, self.encoding, frames and frames * ratio)
        self._rehearse()
        return self.work.finished

    def write(self, outputs: Iterable[Output]) -> None:
        assert self.work, "begun"
        for segment, frames in groupby(outputs, key=lambda output: output.segment):
            encoder = self.encoding.new_encoder()
            try:
                encoder.open()
                self.work.add(segment, encoder.extradata, self._encoded(encoder, frames))
            except av.FFmpegError as error:
                raise VideoError(
                    f"{self.encoding.encoder} cannot encode this ({error.strerror}): choose another --codec"
                ) from error

    def give_up(self) -> Path | None:
        if self.work is None:
            return None
        if not self.work.finished:
            self.work.remove()
            return None
        self.work.leave()
        return self.work.folder

    def _prove(self, retimer: Retimer, writer: VideoWriter | None = None) -> None:
        """Play the result and compare it with the source."""
        job, reader = self.job, self.job.reader
        carriers = (
            [(index, each) for index, each in writer.others.carriers.items() if each.stream.type == "audio"]
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
            stretched=job.timeline.slow != 1 or reader.part != WHOLE or bool(writer and writer.converted),
            shift=retimer.origin if reader.part != WHOLE else Fraction(0),
        )
        prove(self.path, job.report, expected)

    def _encoding(self, job: Job) -> Encoding:
        return lossless_encoding(job.picture, job.colour, **self._form(job))

    def _rehearse(self) -> None:
        """See before the work that its end will be possible."""

    def _encoded(self, encoder: Any, frames: Iterable[Output]) -> Iterator[av.Packet]:
        for output in frames:
            frame = self.encoding.frame(output.picture, self.job.colour, output.pts)
            if output.captions is not None:
                frame = with_captions(frame, output.captions)
            yield from encoder.encode(frame)
        yield from encoder.encode(None)


class VideoTarget(FileTarget):
    """A file of one of the `CONTAINERS`, with all other streams of the source."""

    holds_matrix = True
    constant = False
    plan: Plan
    """What becomes of the streams beside the picture."""

    def finish(self, retimer: Retimer) -> None:
        job, work = self.job, self.work
        assert work, "begun"
        while True:
            try:
                writer = self._join(retimer)
                break
            except StreamsFailed as failure:  # what is done is not lost for it
                for index in failure.indices:
                    self.plan.drop(index, failure.reason)
        job.report.converted, job.report.left_out = tuple(writer.converted), tuple(writer.left_out)
        work.remove()
        self._prove(retimer, writer)
        job.report.damage += tuple(writer.damage)

    def _join(self, retimer: Retimer) -> VideoWriter:
        """Write the result of the finished segments and the source's other streams."""
        job, work = self.job, self.work
        assert work, "begun"
        extradata = work.extradata()
        again = VideoReader(job.reader.path, survey=job.reader.survey) if job.reader.others else None
        with again or nullcontext(job.reader) as source:
            span = None if job.reader.part == WHOLE else Span(retimer.origin, retimer.end)
            with self._writer(source, span) as writer:
                if writer.stream.codec_context.extradata not in (None, extradata):
                    raise VideoError(f"{work.folder} was begun with another encoder: begin anew with --overwrite")
                kept = [stream for stream in source.others if stream.index in writer.others.carriers]
                writer.join(work.packets(retimer.end_pts), source.packets(kept) if kept else ())
        return writer

    def _encoding(self, job: Job) -> Encoding:
        return choose_encoding(job.picture, job.colour, **self._form(job), **self.codec)

    def _rehearse(self) -> None:
        assert self.work, "begun"
        job = self.job
        self.plan = make_plan(
            job.reader.path, job.reader.others, self.path, job.timeline.slow, mute=self.mute, scratch=self.work.folder
        )
        constant = isinstance(job.timeline, ConstantRate) and job.timeline.slow == 1
        plan_time_code(self.plan, job.reader, job.timeline.rate if constant else None)
        while True:
            try:
                writer = self._writer(job.reader, None)
                break
            except StreamsFailed as failure:
                for index in failure.indices:
                    self.plan.drop(index, failure.reason)
        writer.abandon()
        job.report.converted, job.report.left_out = tuple(writer.converted), tuple(writer.left_out)

    def _writer(self, reader: VideoReader, span: Span | None) -> VideoWriter:
        assert self.work, "begun"
        job, unfinished = self.job, self.work.folder / self.path.name
        options: dict[str, Any] = {"slow": job.timeline.slow, "mute": self.mute, "plan": self.plan, "span": span}
        options["matrix"] = job.reader.layout.matrix if job.reader.layout else None
        return VideoWriter(self.path, reader, job.picture, job.colour, self.encoding, unfinished=unfinished, **options)


class RenderedTarget(FileTarget):
    """A target that is made of the finished frames once they are all there."""

    holds_aspect = False

    def _rehearse(self) -> None:
        others = tuple(f"{each.type} stream {each.index}" for each in self.job.reader.others)
        self.job.report.left_out = tuple(f"{name} ({self.appears.name} holds pictures alone)" for name in others)

    def _frames(self, end: int) -> Iterator[av.VideoFrame]:
        """All finished frames, lossless RGB."""
        assert self.work, "begun"
        decoder: Any = av.CodecContext.create(self.encoding.encoder, "r")
        decoder.extradata, decoder.width, decoder.height = (
            self.work.extradata(), self.encoding.width, self.encoding.height
        )  # fmt: skip
        for packet in chain(self.work.packets(end), [None]):
            for frame in decoder.decode(packet):
                frame.time_base = self.encoding.time_base
                yield frame


class AnimationTarget(RenderedTarget):
    """A GIF or an APNG."""

    constant = False

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        rate = job.timeline.rate
        if self._gif and rate > FASTEST_GIF:
            raise VideoError(f"viewers slow GIFs down that have {float(rate):g} frames a second: give --fps 50 or less")
        return super().begin(job, resume=resume, overwrite=overwrite)

    def finish(self, retimer: Retimer) -> None:
        assert self.work, "begun"
        unfinished = self.work.folder / self.path.name
        try:
            write_animation(
                unfinished, lambda: self._frames(retimer.end_pts), self.encoding.time_base, self.encoding.rate,
                plays_of(self.job.reader.path), gif=self._gif,
            )  # fmt: skip
            unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path} cannot be written ({error}): choose another place for OUT") from error
        self.work.remove()
        self._prove(retimer)

    @property
    def _gif(self) -> bool:
        return self.path.suffix.lower() == ".gif"


class PicturesTarget(RenderedTarget):
    """Pictures in a folder, with names by a pattern."""

    @property
    def appears(self) -> Path:
        return self.path.parent if is_pattern(self.path) else self.path

    @property
    def pattern(self) -> str:
        return self.path.name if is_pattern(self.path) else DEFAULT_NAME

    def check(self, source: Path, overwrite: bool) -> None:
        if not writes(Path(self.pattern).suffix):
            raise VideoError(f"{self.path}: pictures cannot be written as that: use {DEFAULT_NAME}")
        there = self.appears / numbered(self.pattern, 1)
        check_target(source, there if self.appears.is_dir() else self.appears, overwrite)

    def finish(self, retimer: Retimer) -> None:
        assert self.work, "begun"
        folder = self.work.folder / "pictures"
        try:
            folder.mkdir(exist_ok=True)
            images: Iterator[Array] = (to_rgb(frame, self.encoding.colour) for frame in self._frames(retimer.end_pts))
            count = write_pictures(folder, self.pattern, images)
            self.appears.mkdir(exist_ok=True)
            for number in range(1, count + 1):
                name = numbered(self.pattern, number)
                (folder / name).replace(self.appears / name)
        except OSError as error:
            raise VideoError(f"{self.appears} cannot be written to ({error}): choose another place for OUT") from error
        self.work.remove()
        paths = [self.appears / numbered(self.pattern, number) for number in range(1, count + 1)]
        check_pictures(paths, self.job.report, self.job.timeline.rate)


def with_captions(frame: av.VideoFrame, source: av.VideoFrame) -> av.VideoFrame:
    """A frame for the encoder with the closed captions of a source frame."""
    captioned = with_side_data(frame, source)
    captioned.pts, captioned.time_base, captioned.pict_type = frame.pts, frame.time_base, 0
    return captioned


def _heard(reader: VideoReader, index: int, carrier: Carrier, retimer: Retimer) -> Stretch | None:
    """When a sound stream of the source is heard, within the part that is shown; None if that is not known."""
    span, part = reader.survey.spans.get(index), reader.part != WHOLE
    if span is None:
        return None
    begin, end = span.begin, span.end
    if isinstance(carrier, ConvertedSound) and carrier.begin is not None and carrier.end is not None:
        offset = retimer.origin if part else 0  # packets do not state the times of all codecs
        begin, end = carrier.begin + offset, carrier.end + offset
    if part:
        begin, end = max(begin, retimer.origin), min(end, retimer.end)
    return Stretch(begin, end) if begin < end else None


def target_for(path: Path, *, mute: bool = False, codec: Mapping[str, Any] | None = None) -> Target:
    """What a name of a result stands for; arguments as of `Target`.

    Raises:
        VideoError: it stands for nothing that can be written.
    """
    suffix = path.suffix.lower()
    kind: type[Target]
    if path == STREAM:
        kind = Target
    elif suffix in SUFFIXES:
        kind = AnimationTarget
    elif is_pattern(path) or not suffix or path.is_dir():
        kind = PicturesTarget
    elif suffix in CONTAINERS:
        kind = VideoTarget
    else:
        known = " ".join((*CONTAINERS, *SUFFIXES))
        raise VideoError(
            f"{path}: choose a name that ends in one of {known}, or pictures such as frames/{DEFAULT_NAME}"
        )
    return kind(path, mute=mute, codec=codec)


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """See that a result may be written; a VideoError says why it may not."""
    with suppress(OSError):
        if target.exists() and source.exists() and target.samefile(source):
            raise VideoError(f"{target} is the video itself: name another OUT")
    if target.exists() and not overwrite:
        raise VideoError(f"{target} exists: name another OUT, or give --overwrite")
    if not target.parent.is_dir():
        raise VideoError(f"{target.parent} is no folder: make it first, or name another OUT")
