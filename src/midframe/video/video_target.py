"""A result in a video file, with the other streams of its source."""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.colour.spherical import Template, immersion_of, template_of
from midframe.media.reading.icc_profile import lost_profile
from midframe.media.reading.reader import WHOLE, VideoReader
from midframe.media.streams.carrying import Span, StreamsFailed
from midframe.media.streams.rehearsal import make_plan
from midframe.media.streams.streams import Plan, plan_time_code
from midframe.media.writing.containers import IN_MILLISECONDS, PLAIN_FORMATS, container_format
from midframe.media.writing.encoders import Encoding, choose_encoding
from midframe.media.writing.writer import VideoWriter
from midframe.options import EncodingOptions
from midframe.video.retimer import Retimer
from midframe.video.segment_target import SegmentTarget
from midframe.video.target import Job, form_of
from midframe.video.target_checks import check_target
from midframe.video.timeline import ConstantRate, TrueTimes


class VideoTarget(SegmentTarget):
    """A file of one of the `CONTAINERS`, with all other streams of the source."""

    plan: Plan
    """What becomes of the streams beside the picture."""
    template: Template | None = None
    """Template of the video stream of spherical and stereoscopic videos."""

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        super().__init__(path, options)
        self.holds_matrix = container_format(path.suffix) not in PLAIN_FORMATS
        self.constant = container_format(path.suffix) == "avi"

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        check_target(source, self.path, overwrite or resume, own=not resume)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        return self._is_marked(settings, overwrite=overwrite)

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        if self.constant and isinstance(job.timeline, TrueTimes):
            raise VideoError(
                f"{self.path}: .avi files need a constant frame rate: drop --vfr, or use .mkv"
            )
        if container_format(self.path.suffix) in IN_MILLISECONDS and job.timeline.rate > 1000:
            raise VideoError(
                f"{self.path.suffix} files hold up to 1000 frames a second, not "
                f"{float(job.timeline.rate):.0f}: "
                "name an OUT of .mp4, or choose a lower --factor or --fps"
            )
        return super().begin(job, resume=resume, overwrite=overwrite)

    def _make_template(self) -> None:
        immersion = immersion_of(self.job.picture)
        flat_only = container_format(self.path.suffix) == "mov"  # FFmpeg writes no `sv3d` there
        if (
            immersion
            and immersion.can_be_carried
            and self.holds_matrix
            and not (flat_only and immersion.sphere)
        ):
            with suppress(
                av.FFmpegError, ValueError
            ):  # MP4 has no place for the codec: reported as dropped
                self.template = template_of(self.encoding, immersion)
        self.carries_immersion = self.template is not None

    def finish(self, retimer: Retimer) -> None:
        job, segments = self.job, self.segments
        assert segments, "begun"
        while True:
            try:
                writer = self._join(retimer)
                break
            except StreamsFailed as failure:  # what is done is not lost for it
                for index in failure.indices:
                    self.plan.drop(index, failure.reason)
        dropped = [*writer.dropped, *lost_profile(job.reader)]
        job.report.converted, job.report.dropped = tuple(writer.converted), tuple(dropped)
        segments.remove()
        self._prove(retimer, writer)
        job.report.damage += tuple(writer.damage)

    def _join(self, retimer: Retimer) -> VideoWriter:
        """Write the result of the finished segments and the source's other streams."""
        job, segments = self.job, self.segments
        assert segments, "begun"
        extradata = segments.extradata()
        again = (
            VideoReader(job.reader.path, survey=job.reader.survey, strict=job.reader.damage.strict)
            if job.reader.others
            else None
        )
        with again or nullcontext(job.reader) as source:
            span = None if job.reader.part == WHOLE else Span(retimer.origin, retimer.end)
            with self._writer(source, span) as writer:
                if writer.stream.codec_context.extradata not in (None, extradata):
                    raise VideoError(
                        f"{segments.folder} was started with another encoder: start again with "
                        "--overwrite"
                    )
                kept = [
                    stream for stream in source.others if stream.index in writer.others.carriers
                ]
                writer.join(segments.packets(retimer.end_pts), source.packets(kept) if kept else ())
        return writer

    def _encoding(self, job: Job) -> Encoding:
        return choose_encoding(
            job.picture, job.colour, suffix=self.path.suffix, options=self.options, **form_of(job)
        )

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
            changed_sounds=job.reader.survey.changed_sounds,
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
        return VideoWriter(
            self.path,
            reader,
            job.picture,
            job.colour,
            self.encoding,
            unfinished=unfinished,
            **options,
        )
