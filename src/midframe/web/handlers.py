"""Event handlers of the page, independent of Gradio: from the values of fields to HTML."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from midframe.errors import MidframeError, OptionError
from midframe.media.pictures.images import read_image
from midframe.options import (
    DEFAULT_FACTOR,
    EncodingOptions,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
)
from midframe.web import fragments
from midframe.web.jobs import Job, JobQueue, QueueFullError, Work, public_text
from midframe.web.limits import count_frames
from midframe.web.networks import Networks, thumbnail
from midframe.web.options import FIRST, VIDEO, Limits
from midframe.web.storage import Session, Storage
from midframe.web.tasks import (
    PICTURES_TAB,
    SPEED_SIZE,
    pictures_work,
    pixel_work,
    speed_work,
    video_work,
)

POLL_SECONDS = 0.3
"""Seconds between two updates of the progress."""
MULTIPLY, TARGET = "Multiply", "Target"
"""Ways to state the frame rate of a result."""
MAX_FACTOR = 16
"""Maximum factor of the frame rate, and of slow motion."""
PREVIEW = {"longest": 1280, "quality": 95}
"""The picture that pixels are chosen in, see `thumbnail`."""
NORMAL_SPEED = 1
"""Factor of slow motion for none."""
NOT_MEASURED = "The speed of this machine was not measured"
CANCELLED = "Cancelled. Nothing was kept."


@dataclass(frozen=True)
class VideoForm:
    """The fields of the video form, in their order on the page."""

    model: str
    rate_by: str = MULTIPLY
    factor: float | None = DEFAULT_FACTOR
    fps: str = "60"
    slow: float | None = NORMAL_SPEED
    start: str = ""
    end: str = ""
    codec: str = "h264"
    deinterlace: bool = False
    mute: bool = False

    def options(self) -> VideoOptions:
        """Return the chosen options.

        Raises:
            OptionError: a field has a value that it cannot have.
        """
        by_target = self.rate_by == TARGET
        slow = _check_factor("slow motion", self.slow, NORMAL_SPEED)
        retiming = RetimingOptions(
            factor=None if by_target else _check_factor("factor", self.factor, DEFAULT_FACTOR),
            fps=self.fps.strip() if by_target else None,
            slow=None if slow == NORMAL_SPEED else slow,
        )
        start, end = self.start.strip() or 0, self.end.strip() or None
        source = SourceOptions(start, end, deinterlace=self.deinterlace)
        return VideoOptions(retiming, source, EncodingOptions(self.codec, mute=self.mute))


def _check_factor(name: str, value: float | None, default: float) -> float:
    """Return the number of a field, or the default if it is empty.

    Raises:
        OptionError: it is out of range.
    """
    value = default if value is None else value
    if not 1 <= value <= MAX_FACTOR:
        raise OptionError(f"{name} is {value:g}: 1 to {MAX_FACTOR} is needed")
    return value


Show = Callable[[Session, Any], str]
"""From a session and the result of a job to HTML."""


@dataclass
class Server:
    """The state that all pages share.

    `storage` ends the jobs of a session before its files are deleted.
    """

    limits: Limits
    networks: Networks
    keep_hours: float
    jobs: JobQueue = field(default_factory=JobQueue)
    storage: Storage = field(init=False)

    def __post_init__(self) -> None:
        self.storage = Storage(self.keep_hours, self._end_jobs)

    def close(self) -> None:
        """Stop all work, and delete all files."""
        self.jobs.close()
        self.storage.close()

    def describe_video(self, token: str, *fields: Any) -> AsyncIterator[str]:
        """Yield the facts about the video of a session, and an estimate of the work.

        Args:
            token: of the session.
            fields: as of `VideoForm`.
        """
        return self._with_errors_shown(self._describe(token, VideoForm(*fields)))

    def convert_video(self, token: str, *fields: Any) -> AsyncIterator[str]:
        """Yield the progress of interpolating the video of a session, then the result; arguments as
        of `describe_video`."""
        form = VideoForm(*fields)

        def start(session: Session) -> Work:
            return video_work(session, self.networks, form.model, form.options())

        def show(session: Session, result: Any) -> str:
            replaced = session.uploads.get(VIDEO) is not result.source
            name = None if replaced else session.name_of(result.source)
            return fragments.video_result(session, result, name)

        return self._with_errors_shown(self._work(token, start, show, VIDEO))

    def show_again(self, token: str, tab: str) -> AsyncIterator[str]:
        """Yield the progress of the latest job of a tab, then its result, after a reload."""
        return self._with_errors_shown(self._show_again(token, tab))

    def interpolate_pictures(self, token: str, model: str, count: float) -> AsyncIterator[str]:
        """Yield the progress of interpolating between the pictures of a session, then a viewer."""

        def start(session: Session) -> Work:
            return pictures_work(session, self.networks, model, int(count or 0))

        def show(session: Session, result: Any) -> str:
            urls = [session.url(name) for name in result.names]
            return fragments.picture_viewer(urls, result.dropped)

        return self._with_errors_shown(self._work(token, start, show, PICTURES_TAB))

    def visualize_pixel(self, token: str, model: str, x: float, y: float) -> AsyncIterator[str]:
        """Yield the progress of predicting a pixel, then its kernels and its flow.

        Args:
            token: of the session.
            model: name of the network.
            x, y: position in percent.
        """

        def start(session: Session) -> Work:
            return pixel_work(session, self.networks, model, (x or 0) / 100, (y or 0) / 100)

        return self._with_errors_shown(
            self._work(token, start, lambda _, view: fragments.pixel_view(view))
        )

    def measure_speed(self, token: str, model: str) -> AsyncIterator[str]:
        """Yield the progress of measuring a network, then its speed."""

        def start(_: Session) -> Work:
            return speed_work(self.networks, model, *SPEED_SIZE)

        def show(_: Session, seconds: Any) -> str:
            width, height = SPEED_SIZE
            speed = f"{1 / seconds:.1f} frames/s" if seconds < 1 else f"{seconds:.1f} s a frame"
            return fragments.message(f"{speed} at {width} × {height} on this machine.")

        return self._with_errors_shown(self._work(token, start, show))

    def show_clickable(self, token: str) -> str:
        """Return the first picture of a session, for choosing a pixel."""
        try:
            session = self.storage.find(token)
        except MidframeError as error:
            return _error(error)
        first = session.uploads.get(FIRST)
        if first is None:
            return ""
        try:
            preview = thumbnail(read_image(first.path), **PREVIEW)
        except MidframeError as error:
            return _error(error)
        return fragments.clickable(fragments.data_url(preview, "image/jpeg"))

    def cancel(self, token: str) -> None:
        """Cancel the jobs of a session."""
        self.jobs.cancel_all(token)

    def _end_jobs(self, token: str) -> None:
        for job in self.jobs.cancel_all(token):
            job.wait()

    async def _describe(self, token: str, form: VideoForm) -> AsyncIterator[str]:
        session = self.storage.find(token)
        upload = session.uploads.get(VIDEO)
        if upload is None:
            yield ""
            return
        facts = upload.facts
        shown = fragments.video_facts(facts, upload.title)
        try:
            frames, interpolated = count_frames(facts, form.options())
        except (MidframeError, OptionError) as error:
            yield shown + _error(error)
            return
        size = (facts.width, facts.height)
        seconds = self.networks.seconds(form.model, *size)
        yield shown + fragments.estimate(frames, interpolated, seconds)
        if seconds is None:
            try:
                job = self.jobs.submit(speed_work(self.networks, form.model, *size), token)
            except QueueFullError:
                yield shown + fragments.estimate(frames, interpolated, None, NOT_MEASURED)
                return
            async for _ in self._follow(job):
                pass
            if job.status == "done":
                yield shown + fragments.estimate(frames, interpolated, job.result)
            else:
                reason = job.message or NOT_MEASURED
                yield shown + fragments.estimate(frames, interpolated, None, reason)

    async def _work(
        self,
        token: str,
        start: Callable[[Session], Work],
        show: Show,
        tab: str = "",
    ) -> AsyncIterator[str]:
        """Yield the progress of a job, then its result as HTML; a tab shows it again after a
        reload."""
        session = self.storage.find(token)
        job = self.jobs.submit(start(session), token)
        if tab:
            session.works[tab] = job, show
        async for text in self._finish(session, job, show):
            yield text

    async def _show_again(self, token: str, tab: str) -> AsyncIterator[str]:
        session = self.storage.find(token)
        work = session.works.get(tab)
        if work is None:
            yield ""
            return
        async for text in self._finish(session, *work):
            if session.works[tab] is not work:  # another was started, which shows itself
                return
            yield text

    async def _finish(self, session: Session, job: Job, show: Show) -> AsyncIterator[str]:
        async for text in self._follow(job):
            yield text
        if job.status == "done":
            yield show(session, job.result)
        elif job.status == "cancelled":
            yield fragments.message(CANCELLED)
        else:
            yield fragments.message(job.message, error=True)

    async def _follow(self, job: Job) -> AsyncIterator[str]:
        """Yield the progress of a job until it has finished, and mark its session as used."""
        while not job.finished:
            yield fragments.job_progress(job, self.jobs.jobs_before(job))
            await asyncio.sleep(POLL_SECONDS)
            if not job.finished:
                self.storage.find(job.owner)

    async def _with_errors_shown(self, texts: AsyncIterator[str]) -> AsyncIterator[str]:
        """Yield texts; an error becomes the last one, without a traceback."""
        try:
            async for text in texts:
                yield text
        except Exception as error:
            yield _error(error)


def _error(error: Exception) -> str:
    return fragments.message(public_text(error), error=True)
