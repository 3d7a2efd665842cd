"""Where the result goes: a video, an animation, pictures in a folder, or standard output.

What is encoded is kept in segments (`work`) until all of it is there, but for standard output, which cannot wait.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import av

from midframe.decoding import HDR_TRANSFERS
from midframe.errors import VideoError
from midframe.folders import visible
from midframe.images import Array, is_srgb, lost_as, writes
from midframe.options import EncodingOptions
from midframe.outputs import check_output_file, check_output_folder, same_place
from midframe.video.animation import FASTEST_GIF, SUFFIXES, plays_of, write_animation
from midframe.video.carriers import Carrier
from midframe.video.carrying import Span, StreamsFailed
from midframe.video.colour import Colour, to_rgb
from midframe.video.containers import CONTAINERS, IN_MILLISECONDS, PLAIN_FORMATS, container_format, default_codec
from midframe.video.disk_space import check_space
from midframe.video.encoders import Encoding, choose_encoding, lossless_encoding
from midframe.video.image_sequence import (
    DEFAULT_NAME,
    ArrayReader,
    is_pattern,
    number_of,
    numbered,
    numbered_files,
    picture_files,
    write_pictures,
)
from midframe.video.mark import mark_of, read_mark
from midframe.video.opacity import lost_alpha
from midframe.video.pipes import STREAM, PipeWriter, pipe_encoding
from midframe.video.proof import Expected, Stretch, prove
from midframe.video.reader import WHOLE, VideoReader
from midframe.video.rehearsal import make_plan
from midframe.video.report import VideoReport, check_pictures
from midframe.video.retimer import Output, Retimer
from midframe.video.segments import JOB_FILE, Segments, segments_folder
from midframe.video.side_data import CAPTION_ENCODERS, lost_metadata, with_side_data
from midframe.video.sound import ConvertedSound
from midframe.video.spherical import Template, immersion_of, template_of
from midframe.video.streams import Plan, plan_time_code
from midframe.video.timeline import ConstantRate, Timeline, TrueTimes
from midframe.video.video_file import ADDRESS
from midframe.video.watchdog import Watchdog, stall_seconds
from midframe.video.writer import VideoWriter


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
        options: how it is encoded, and whether it has sound.
    """

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        self.path = path
        self.options = options
        self.job: Job
        self.encoding: Encoding

    holds_matrix = False
    """The result carries a display matrix, so pictures need not be rotated."""
    holds_aspect = True
    """The result carries a sample aspect ratio, so pictures need not be scaled."""
    constant = True
    """The result can only have frames at equal steps."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Check that a result may be written; raises a VideoError with the reason if not."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Whether the result is there already, made with the same settings, so that there is nothing to resume.

        Raises:
            VideoError: there is something else in its place, which may not be replaced.
        """
        return False

    def check_progress(self) -> None:
        """Raise a VideoError if the thread that writes makes no progress; called while others wait for it."""

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        """Prepare to write; returns how many segments are finished already."""
        self.job, self.encoding = job, pipe_encoding(job.picture, job.colour, **self._form(job))
        if isinstance(job.timeline, TrueTimes):
            raise VideoError("y4m needs a constant frame rate: drop --vfr")
        if resume:
            raise VideoError("output to a pipe cannot be resumed: drop --resume")
        job.report.dropped = tuple(f"{each.type} stream {each.index} (y4m)" for each in job.reader.others)
        return 0

    def write(self, outputs: Iterable[Output]) -> None:
        """Take the frames to show, in order."""
        try:
            with PipeWriter(self.encoding, self.job.colour) as writer:
                for output in outputs:
                    writer.write(output.picture)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"standard output cannot be written ({error}): check the next program of the pipe"
            ) from error

    def finish(self, retimer: Retimer) -> None:
        """Give the result its name once all frames are there, and see that it has all it should."""

    def give_up(self) -> Path | None:
        """Clean up after a failure; returns where finished segments are, if there are any."""
        return None

    carries_immersion = False
    """The result states how a spherical or stereoscopic picture is to be shown."""

    def lost_side_data(self, retimer: Retimer) -> list[str]:
        """What the source's pictures carry beside their samples, and the result's do not."""
        job, encoder = self.job, self.encoding.encoder
        lost = lost_metadata(job.picture, job.reader.description)
        immersion = immersion_of(job.picture)
        if immersion and not self.carries_immersion:
            lost += [f"{name} (the result does not store it)" for name in immersion.names]
        if job.report.captions and encoder not in CAPTION_ENCODERS:
            lost.append(f"closed captions ({encoder} cannot write them: h264 and hevc can)")
        elif retimer.captions:
            lost.append(f"{len(retimer.captions)} sets of closed captions, after the last frame")
        return lost

    @staticmethod
    def _form(job: Job) -> dict[str, Any]:
        assert job.reader.layout, "the first picture was read"
        shape = job.reader.layout.sample_aspect_ratio
        return {"time_base": job.timeline.time_base, "rate": job.timeline.rate, "sample_aspect_ratio": shape}


class FileTarget(Target):
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
                    f"{self.encoding.encoder} cannot encode these frames ({error.strerror}): choose another --codec"
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
            yield from self.watchdog.watch(encoder.encode_lazy(frame))
        yield from self.watchdog.watch(encoder.encode_lazy(None))


class VideoTarget(FileTarget):
    """A file of one of the `CONTAINERS`, with all other streams of the source."""

    plan: Plan
    """What becomes of the streams beside the picture."""
    template: Template | None = None
    """What the picture's stream is made like in spherical and stereoscopic films."""

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        super().__init__(path, options)
        self.holds_matrix = container_format(path.suffix) not in PLAIN_FORMATS
        self.constant = container_format(path.suffix) == "avi"

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        check_target(source, self.path, overwrite or resume, own=not resume)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        unfinished = overwrite and (segments_folder(self.path) / JOB_FILE).exists()
        if not self.path.exists() or unfinished:
            return False
        if read_mark(self.path) == self._mark(settings):
            return True
        if not overwrite:
            raise VideoError(
                f"{self.path} exists and was made with other options: name another OUT, or give --overwrite"
            )
        check_own(self.path)
        return False

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        if self.constant and isinstance(job.timeline, TrueTimes):
            raise VideoError(f"{self.path}: .avi files need a constant frame rate: drop --vfr, or use .mkv")
        if container_format(self.path.suffix) in IN_MILLISECONDS and job.timeline.rate > 1000:
            raise VideoError(
                f"{self.path.suffix} files hold up to 1000 frames a second, not {float(job.timeline.rate):.0f}: "
                "name an OUT of .mp4, or choose a lower --factor or --fps"
            )
        return super().begin(job, resume=resume, overwrite=overwrite)

    def _make_template(self) -> None:
        immersion = immersion_of(self.job.picture)
        flat_only = container_format(self.path.suffix) == "mov"  # FFmpeg writes no `sv3d` there
        if immersion and immersion.can_be_carried and self.holds_matrix and not (flat_only and immersion.sphere):
            with suppress(av.FFmpegError, ValueError):  # MP4 has no place for the codec: reported as left out
                self.template = template_of(self.encoding, immersion)
        self.carries_immersion = self.template is not None

    def finish(self, retimer: Retimer) -> None:
        job, work = self.job, self.segments
        assert work, "begun"
        while True:
            try:
                writer = self._join(retimer)
                break
            except StreamsFailed as failure:  # what is done is not lost for it
                for index in failure.indices:
                    self.plan.drop(index, failure.reason)
        dropped = [*writer.dropped, *lost_profile(job.reader)]
        job.report.converted, job.report.dropped = tuple(writer.converted), tuple(dropped)
        work.remove()
        self._prove(retimer, writer)
        job.report.damage += tuple(writer.damage)

    def _join(self, retimer: Retimer) -> VideoWriter:
        """Write the result of the finished segments and the source's other streams."""
        job, work = self.job, self.segments
        assert work, "begun"
        extradata = work.extradata()
        again = VideoReader(job.reader.path, survey=job.reader.survey) if job.reader.others else None
        with again or nullcontext(job.reader) as source:
            span = None if job.reader.part == WHOLE else Span(retimer.origin, retimer.end)
            with self._writer(source, span) as writer:
                if writer.stream.codec_context.extradata not in (None, extradata):
                    raise VideoError(f"{work.folder} was started with another encoder: start again with --overwrite")
                kept = [stream for stream in source.others if stream.index in writer.others.carriers]
                writer.join(work.packets(retimer.end_pts), source.packets(kept) if kept else ())
        return writer

    def _encoding(self, job: Job) -> Encoding:
        return choose_encoding(
            job.picture, job.colour, suffix=self.path.suffix, options=self.options, **self._form(job)
        )

    def _mark(self, settings: Mapping[str, Any]) -> str:
        return mark_of({**settings, "mute": self.options.mute})

    def _rehearse(self) -> None:
        assert self.segments, "begun"
        job = self.job
        self.plan = make_plan(
            job.reader.path,
            job.reader.others,
            self.path,
            job.timeline.slow,
            mute=self.options.mute,
            scratch=self.segments.folder,
        )
        self._make_template()
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
        dropped = [*writer.dropped, *lost_profile(job.reader)]
        job.report.converted, job.report.dropped = tuple(writer.converted), tuple(dropped)

    def _writer(self, reader: VideoReader, span: Span | None) -> VideoWriter:
        assert self.segments, "begun"
        job, unfinished = self.job, self.segments.folder / self.path.name
        options: dict[str, Any] = {
            "slow": job.timeline.slow,
            "mute": self.options.mute,
            "plan": self.plan,
            "span": span,
        }
        options["mark"] = self._mark(job.settings)
        options["template"] = self.template
        options["matrix"] = job.reader.layout.matrix if job.reader.layout else None
        return VideoWriter(self.path, reader, job.picture, job.colour, self.encoding, unfinished=unfinished, **options)


class RenderedTarget(FileTarget):
    """A target that is made of the finished frames once they are all there."""

    holds_aspect = False

    def _rehearse(self) -> None:
        others = tuple(f"{each.type} stream {each.index}" for each in self.job.reader.others)
        dropped = [f"{name} ({self.appears.name} holds images only)" for name in others]
        self.job.report.dropped = (*dropped, *self._lost())

    def _lost(self) -> Iterable[str]:
        """What of the pictures themselves the result cannot hold."""
        return lost_profile(self.job.reader)

    def _frames(self, end: int) -> Iterator[av.VideoFrame]:
        """All finished frames, lossless RGB."""
        assert self.segments, "begun"
        decoder: Any = av.CodecContext.create(self.encoding.encoder, "r")
        decoder.extradata, decoder.width, decoder.height = (
            self.segments.extradata(), self.encoding.width, self.encoding.height
        )  # fmt: skip
        for packet in chain(self.segments.packets(end), [None]):
            for frame in decoder.decode(packet):
                frame.time_base = self.encoding.time_base
                yield frame


class AnimationTarget(RenderedTarget):
    """A GIF or an APNG."""

    constant = False

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        check_output_file(self.path, inputs=picture_files(source) or [source], overwrite=overwrite or resume)

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        rate = job.timeline.rate
        if self._gif and rate > FASTEST_GIF:
            raise VideoError(f"viewers play GIFs of {float(rate):g} frames a second too slowly: give --fps 50 or less")
        return super().begin(job, resume=resume, overwrite=overwrite)

    def finish(self, retimer: Retimer) -> None:
        assert self.segments, "begun"
        unfinished = self.segments.folder / self.path.name
        try:
            write_animation(
                unfinished, lambda: self._frames(retimer.end_pts), self.encoding.time_base, self.encoding.rate,
                plays_of(self.job.reader.path), gif=self._gif,
            )  # fmt: skip
            unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path} cannot be written ({error}): choose another place for OUT") from error
        self.segments.remove()
        self._prove(retimer)

    def _lost(self) -> Iterable[str]:
        deep = ["bits beyond 8 of each sample (GIF)"] if self._gif and self.job.colour.deep else []
        soft = self._gif and self.job.colour.alpha and self.job.reader.container.format.name != "gif"
        clear = (
            ["partial transparency (GIF pixels are opaque or transparent)"]
            if soft and lost_alpha(self.job.reader)
            else []
        )
        return [*super()._lost(), *deep, *clear]

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

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        if not writes(Path(self.pattern).suffix):
            raise VideoError(f"{self.path}: images cannot be written with this suffix: use {DEFAULT_NAME}")
        if not self.appears.parent.is_dir():
            raise VideoError(f"{self.appears.parent} is not a folder: create it first, or name another OUT")
        check_output_folder(self.appears, inputs=() if is_pattern(self.path) else [source])
        for each in picture_files(source) or [source]:
            if number_of(self.pattern, each.name) is not None and same_place(each.parent, self.appears):
                raise VideoError(f"{each} is an input that {self.path} would overwrite: name another OUT")
        before = numbered_files(self.appears, self.pattern)
        if before and not overwrite:
            raise VideoError(f"{before[min(before)]} exists: name another OUT, or give --overwrite")
        others = set(visible(self.appears, self.appears.iterdir())) if self.appears.is_dir() else set()
        if not is_pattern(self.path) and (others := others - set(before.values())):
            raise VideoError(
                f"{self.appears} holds other files ({min(others).name}): name a new folder, or a pattern such as "
                f"{self.appears}/frame-%06d.png"
            )

    def finish(self, retimer: Retimer) -> None:
        assert self.segments, "begun"
        folder = self.segments.folder / "pictures"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            images: Iterator[Array] = (to_rgb(frame, self.encoding.colour) for frame in self._frames(retimer.end_pts))
            count = write_pictures(folder, self.pattern, images, profile_of(self.job.reader))
            self.appears.mkdir(exist_ok=True)
            names = [numbered(self.pattern, number) for number in range(1, count + 1)]
            for name in names:
                (folder / name).replace(self.appears / name)
            for number, path in numbered_files(self.appears, self.pattern).items():
                if not 1 <= number <= count:  # of an earlier, longer result
                    path.unlink()
        except OSError as error:
            raise VideoError(f"{self.appears} cannot be written to ({error}): choose another place for OUT") from error
        self.segments.remove()
        check_pictures([self.appears / name for name in names], self.job.report, self.job.timeline.rate)

    def _lost(self) -> Iterable[str]:
        suffix, colour = Path(self.pattern).suffix, self.job.colour
        lost = lost_as(suffix, deep=colour.deep, alpha=False, icc_profile=profile_of(self.job.reader))
        if colour.alpha and lost_as(suffix, deep=False, alpha=True, icc_profile=None):
            lost += filter(None, [lost_alpha(self.job.reader)])
        if self.job.picture.color_trc in HDR_TRANSFERS:
            lost.append("HDR transfer function (the images do not store it)")
        return lost


def profile_of(reader: VideoReader) -> bytes | None:
    """The ICC profile of a source's pictures."""
    return reader.icc_profile if isinstance(reader, ArrayReader) else None


def lost_profile(reader: VideoReader) -> list[str]:
    """The ICC profile of a source's pictures, where the result has none and is not what players show without one."""
    profile = profile_of(reader)
    return (
        []
        if profile is None or is_srgb(profile)
        else ["ICC profile (the result has none, so its colours look different)"]
    )


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


def target_for(path: Path, options: EncodingOptions) -> Target:
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
        options = replace(options, codec=options.codec or default_codec(suffix))
    else:
        known = " ".join((*CONTAINERS, *SUFFIXES))
        raise VideoError(f"{path}: choose a name that ends in one of {known}, or images such as frames/{DEFAULT_NAME}")
    if kind is not VideoTarget and (options.codec or options.preset or options.encoder_options):
        raise VideoError(f"{path} does not use --codec, --preset or --encoder-option: drop them, or name an .mp4 file")
    return kind(path, options)


def check_target(source: Path, target: Path, overwrite: bool, *, own: bool = True) -> None:
    """Check that a result may be written.

    Args:
        source: what must stay as it is.
        target: the result.
        overwrite: whether it may be replaced if it exists.
        own: a video may only be replaced if midframe wrote it.

    Raises:
        VideoError: with the reason why not.
    """
    for path in (source, target):
        if ADDRESS.match(str(path)) and not path.exists():
            address = str(path).replace(":/", "://", 1)
            raise VideoError(f"{address} is a URL, but only files can be read and written: download it first")
    if same_place(source, target):
        raise VideoError(f"{target} is the source itself: name another OUT")
    check_output_file(target, overwrite=overwrite)
    if own:
        check_own(target)


def check_own(target: Path) -> None:
    """Check that a video which is to be replaced is one that midframe wrote, so that no source is lost by accident.

    Raises:
        VideoError: it is another.
    """
    video = target.suffix.lower() in CONTAINERS and target.is_file() and target.stat().st_size
    if video and read_mark(target) is None:
        raise VideoError(f"{target} exists and was not written by midframe: delete it yourself, or name another OUT")
