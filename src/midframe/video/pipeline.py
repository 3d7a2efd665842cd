"""From a video to one with more frames: three threads, of which this one owns the network.

    reader thread: demux, decode, find cuts  ->  queue  ->  network  ->  queue  ->  writer thread: encode, mux

Both queues are short, so memory does not grow with the film.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

import av

from midframe.errors import VideoError
from midframe.interpolator import DEFAULT_MODEL, Interpolator
from midframe.video.colour import Colour, from_rgb, to_rgb
from midframe.video.reader import Frame, VideoReader
from midframe.video.scenes import DEFAULT_THRESHOLD
from midframe.video.timeline import FACTORS, finer_time_base, held_times, times_between
from midframe.video.writer import DEFAULT_CODEC, DEFAULT_CRF, VideoWriter

QUEUE_LENGTH = 8
POLL_SECONDS = 0.2
"""How often a thread that waits looks whether another has failed."""

Item = TypeVar("Item")


@dataclass
class VideoReport:
    """What became of a video."""

    frames_in: int = 0
    frames_made: int = 0
    """By the network."""
    frames_held: int = 0
    """Repeated: at cuts and at the end."""
    cuts: int = 0
    left_out: tuple[str, ...] = ()
    """Streams that the result does not have."""

    @property
    def frames_out(self) -> int:
        return self.frames_in + self.frames_made + self.frames_held


Progress = Callable[[float, int | None], None]
"""Called with how many source frames are done, with a fraction while frames are made after one, and how many there are,
if known."""


def interpolate_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int = 2,
    model: str | Interpolator = DEFAULT_MODEL,
    device: str = "auto",
    tile: int | None = None,
    precision: str = "auto",
    codec: str = DEFAULT_CODEC,
    crf: int = DEFAULT_CRF,
    cut_threshold: float = DEFAULT_THRESHOLD,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Write a video again with a multiple of its frames, at the same speed, with its sound.

    N frames become factor * (N - 1) + 1; the last is held for factor - 1 more, so that the picture lasts as long as
    before. Source frames are kept as they are; sound packets are copied. Across a cut the frame before it is held.

    Args:
        source: a video that FFmpeg reads.
        target: the result, ending in .mp4, .mkv, .mov or .webm. It appears when it is complete.
        factor: 2, 4 or 8.
        model: name or file of weights, or an Interpolator that is ready.
        device, tile, precision: as in `Interpolator`.
        codec: h264, hevc, av1, vp9, ffv1 or an encoder of FFmpeg.
        crf: constant quality of the encoder; smaller is better and larger.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; 0 looks for none.
        overwrite: replace a target that exists.
        progress: told how far the work is, several times a frame where the network makes frames in parts.

    Returns:
        How many frames came in, were made and were held.

    Raises:
        ValueError: another factor.
        VideoError: the source cannot be read, or the target cannot be written. Nothing is left behind.
    """
    source, target = Path(source), Path(target)
    if factor not in FACTORS:
        raise ValueError(f"factor is {factor}: choose from {', '.join(map(str, FACTORS))}")
    check_target(source, target, overwrite)
    tool = (
        model if isinstance(model, Interpolator) else Interpolator(model, device=device, tile=tile, precision=precision)
    )
    with VideoReader(source, cut_threshold or None) as reader:
        picture, colour = reader.first_picture()
        time_base, rate = finer_time_base(reader.time_base, factor), reader.rate * factor
        report = VideoReport(left_out=tuple(f"{stream.type} stream {stream.index}" for stream in reader.left_out))
        options: dict[str, Any] = {"time_base": time_base, "rate": rate, "codec": codec, "crf": crf}
        with VideoWriter(target, reader, picture, colour, **options) as writer:
            _run(reader, writer, _Multiplier(tool, colour, writer.pixel_format, factor, reader, report, progress))
    return report


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """See that a result may be written; a VideoError says why it may not."""
    if target.exists() and source.exists() and target.samefile(source):
        raise VideoError(f"{target} is the video itself: name another OUT")
    if target.exists() and not overwrite:
        raise VideoError(f"{target} exists: name another OUT, or give --overwrite")
    if not target.parent.is_dir():
        raise VideoError(f"{target.parent} is no folder: make it first, or name another OUT")


def _run(reader: VideoReader, writer: VideoWriter, multiplier: "_Multiplier") -> None:
    stop = Event()
    incoming: _Channel[Frame | av.Packet] = _Channel(stop)
    outgoing: _Channel[_Shown | av.Packet] = _Channel(stop)
    threads = [
        Thread(target=_guard, args=(stop, incoming, lambda: incoming.send_all(reader.read())), name="reader"),
        Thread(target=_guard, args=(stop, outgoing, lambda: _write_all(writer, outgoing)), name="writer"),
    ]
    for thread in threads:
        thread.start()
    try:
        for item in incoming:
            if isinstance(item, Frame):
                outgoing.send_all(multiplier.frames_for(item), last=False)
            else:
                outgoing.send(item)
        outgoing.send_all(multiplier.closing_frames())
        threads[1].join()
        outgoing.raise_failure()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class _Shown:
    """A picture on its way to the encoder, with its pts in the writer's time base."""

    picture: av.VideoFrame
    pts: int


def _write_all(writer: VideoWriter, items: "_Channel[_Shown | av.Packet]") -> None:
    for item in items:
        if isinstance(item, _Shown):
            writer.write_frame(item.picture, item.pts)
        else:
            writer.write_packet(item)


class _Multiplier:
    """Turns source frames, one after another, into the frames to show."""

    def __init__(
        self,
        tool: Interpolator,
        colour: Colour,
        pixel_format: str,
        factor: int,
        reader: VideoReader,
        report: VideoReport,
        progress: Progress | None,
    ) -> None:
        self.tool, self.colour, self.pixel_format, self.factor = tool, colour, pixel_format, factor
        self.reader, self.report, self.progress = reader, report, progress
        self.before: Frame | None = None
        self.before_rgb: Any = None

    def frames_for(self, frame: Frame) -> Iterator[_Shown]:
        """What is shown between the frame before and this one, then this one."""
        rgb = to_rgb(frame.picture, self.colour)
        if self.before and self.before_rgb.shape != rgb.shape:
            raise VideoError(f"{self.reader.path} changes its size on the way: cut it there and convert the parts")
        if self.before:
            yield from self._between(self.before, frame, rgb)
        self.before, self.before_rgb = frame, rgb
        self.report.frames_in += 1
        self._tell(0)
        yield _Shown(frame.picture, frame.pts * self.factor)

    def _tell(self, share: float) -> None:
        if self.progress:
            self.progress(self.report.frames_in + share, self.reader.expected_frames)

    def _between(self, before: Frame, after: Frame, rgb: Any) -> Iterator[_Shown]:
        pts, times = zip(*times_between(before.pts, after.pts, self.factor), strict=True)
        if after.begins_scene:
            self.report.cuts += 1
            yield from self._held(before, pts)
            return
        made = self.tool.interpolate_many(self.before_rgb, rgb, times, progress=self._tell)
        for image, at in zip(made, pts, strict=True):
            self.report.frames_made += 1
            yield _Shown(from_rgb(image, self.colour, self.pixel_format), at)

    def closing_frames(self) -> Iterator[_Shown]:
        """The last frame, held for as long as it was shown in the source."""
        if self.before:
            duration = self.before.picture.duration or self.reader.frame_duration
            yield from self._held(self.before, held_times(self.before.pts, duration, self.factor))

    def _held(self, frame: Frame, times: Iterable[int]) -> Iterator[_Shown]:
        for at in times:
            self.report.frames_held += 1
            yield _Shown(frame.picture, at)


class _Channel(Generic[Item]):
    """A short queue between two threads that ends with its sender and passes on a failure."""

    def __init__(self, stop: Event) -> None:
        self._queue: Queue[Item | None] = Queue(QUEUE_LENGTH)
        self._stop = stop
        self.failure: BaseException | None = None

    def send(self, item: Item | None) -> None:
        """Put an item, waiting for room; None ends the channel."""
        while True:
            self.raise_failure()
            if self._stop.is_set():
                raise _Stopped
            try:
                return self._queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue

    def send_all(self, items: Iterable[Item], *, last: bool = True) -> None:
        """Put many items, then the end unless more are to come."""
        for item in items:
            self.send(item)
        if last:
            self.send(None)

    def __iter__(self) -> Iterator[Item]:
        while True:
            self.raise_failure()
            try:
                item = self._queue.get(timeout=POLL_SECONDS)
            except Empty:
                if self._stop.is_set():
                    raise _Stopped from None
                continue
            if item is None:
                return
            yield item

    def raise_failure(self) -> None:
        """Raise here what the thread on the other side failed with."""
        if self.failure:
            raise self.failure


class _Stopped(Exception):  # noqa: N818  # not an error: another thread ended the work
    """The work ends because another thread failed or was interrupted."""


def _guard(stop: Event, channel: _Channel[Any], work: Callable[[], None]) -> None:
    """Run a thread's work; a failure travels to the main thread through its channel."""
    try:
        work()
    except _Stopped:
        pass
    except BaseException as error:
        channel.failure = error
