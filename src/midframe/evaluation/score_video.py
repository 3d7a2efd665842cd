"""Score a network on any video: drop frames, interpolate them, and compare.

The baselines are the frame before, the mean of the frames that are kept, by time, and FFmpeg's
motion compensation (`minterpolate`), all measured on the same frames in the same run. Frames next
to a cut are omitted.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from midframe.errors import VideoError
from midframe.evaluation import motion_compensation
from midframe.evaluation.figures import catch_write_errors, save_figure
from midframe.evaluation.measures import (
    AVERAGE,
    COLUMNS,
    FIRST_FRAME,
    MAX_PSNR,
    SSIM_WINDOW,
    Measures,
    average,
    error_map,
    measure,
    to_json_values,
    values_for_mean,
)
from midframe.evaluation.motion_compensation import MotionCompensation
from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import Colour, to_rgb
from midframe.media.pictures.images import Array, eight_bit, write_image
from midframe.media.pictures.labels import draw_labels
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.scenes import DEFAULT_THRESHOLD
from midframe.media.reading.source import WHOLE_SOURCE, Frame, FrameSource, TimeRange, log_damage
from midframe.outputs import atomic_write

DEFAULT_FACTOR = 2
"""One of so many frames is kept by default."""
WORST_FRAMES = 5
"""Number of the network's worst frames that are saved."""
ScoreProgress = Callable[[float, float | None], None]
"""Callback with the number of source frames that were read, and their total if it is known."""


@dataclass(frozen=True)
class FrameScores:
    """Measurements of one dropped frame."""

    seconds: float
    """Time after the first frame of the video."""
    measures: dict[str, Measures]
    """Measurements by method."""
    t: float = 0.5
    """Time between the frames that are kept, from 0 to 1."""


@dataclass
class VideoScores:
    """Measurements of all dropped frames of a video."""

    methods: list[str]
    frames: list[FrameScores]
    worst: list[tuple[FrameScores, Array]]
    """The network's worst frames, worst first: truth, interpolated frame and difference, side by
    side."""

    def mean(self, column: str, method: str) -> float:
        """Return the mean over frames of one field of `Measures`."""
        values = [getattr(frame.measures[method], column) for frame in self.frames]
        return float(np.mean(values_for_mean(values)))


def score_video(
    source: str | Path,
    interpolator: Interpolator,
    *,
    name: str = "model",
    time_range: TimeRange = WHOLE_SOURCE,
    cut_threshold: float = DEFAULT_THRESHOLD,
    factor: int = DEFAULT_FACTOR,
    minterpolate: bool = True,
    progress: ScoreProgress | None = None,
) -> VideoScores:
    """Drop frames of a video, interpolate them, and score them as `report` does.

    Args:
        source: a video.
        interpolator: the interpolator.
        name: its name in the scores.
        time_range: of the video to score.
        cut_threshold: scene change score, up to 100, from which there is a cut; 0 for no cuts.
        factor: one of so many frames is kept, at least 2.
        minterpolate: also measure FFmpeg's motion compensation (8-bit 4:2:0, one thread).
        progress: called with the number of frames done and, if known, the total.

    Raises:
        VideoError: the source cannot be read, has too few successive frames without a cut, or is
            too small to be compared.
    """
    smallest = motion_compensation.MIN_SIZE if minterpolate else SSIM_WINDOW
    with VideoReader(Path(source), cut_threshold or None, time_range) as reader:
        picture, colour = reader.first_picture()
        if min(picture.height, picture.width) < smallest:
            raise VideoError(
                f"{source} has {picture.width}x{picture.height} pixels: at least "
                f"{smallest}x{smallest} are needed to score it"
            )
        colour = replace(colour, alpha=False)  # alpha is not measured
        compensation = MotionCompensation(picture, colour, factor=factor) if minterpolate else None
        scorer = _Scorer(interpolator, name, reader, colour, compensation)
        for number, interval in enumerate(_intervals(reader, factor), start=1):
            scorer.add(interval)
            if progress:
                progress(number * factor, reader.expected_frames)
        scorer.finish()
        log_damage(reader)
    if not scorer.scores.frames:
        raise VideoError(
            f"{source} has no {factor + 1} successive frames without a cut there: choose another "
            "section"
        )
    return scorer.scores


def save_scores(scores: VideoScores, folder: Path) -> None:
    """Write `scores.json`, `scores.png` (PSNR over time) and `worst-1.png` ... to a folder."""
    with catch_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for number, (_, picture) in enumerate(scores.worst, start=1):
        write_image(folder / f"worst-{number}.png", picture)
    means: dict[str, dict[str, float | None]] = {column: {} for column in COLUMNS}
    for method in scores.methods:
        values = Measures(*(scores.mean(column, method) for column in COLUMNS))
        for column, value in to_json_values(values).items():
            means[column][method] = value
    frames = [
        {
            "seconds": each.seconds,
            "t": each.t,
            "measures": {
                method: to_json_values(values) for method, values in each.measures.items()
            },
        }
        for each in scores.frames
    ]
    with catch_write_errors(folder), atomic_write(folder / "scores.json") as unfinished:
        unfinished.write_text(json.dumps({"mean": means, "frames": frames}, indent=1) + "\n")
    _draw_psnr(scores, folder / "scores.png")


def _draw_psnr(scores: VideoScores, path: Path) -> None:
    """Draw the PSNR of each method over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method in scores.methods:
        axes.plot(
            [each.seconds for each in scores.frames],
            [min(MAX_PSNR, each.measures[method].psnr) for each in scores.frames],
            label=method,
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path, dpi=100)


def _intervals(reader: FrameSource, factor: int) -> Iterator[list[Frame]]:
    """Yield frames 0 to `factor`, then `factor` to twice as many, and so on."""
    frames = reader.read()
    interval = list(islice(frames, 1))
    while interval:
        interval += islice(frames, factor)
        if len(interval) <= factor:
            return
        yield interval
        interval = interval[-1:]


@dataclass(frozen=True)
class _Pending:
    """A dropped frame that motion compensation has not interpolated yet."""

    seconds: float
    t: float
    outputs: dict[str, Array]
    """Interpolated frames by method."""
    truth: Array


class _Scorer:
    """Scores a video interval by interval.

    Args:
        interpolator: the interpolator.
        name: its name in the scores.
        reader: of the video.
        colour: of its pictures.
        compensation: the filter; None to omit it.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        name: str,
        reader: VideoReader,
        colour: Colour,
        compensation: MotionCompensation | None,
    ) -> None:
        self.interpolator = interpolator
        self.reader = reader
        self.colour = colour
        self.compensation = compensation
        methods = [name, FIRST_FRAME, AVERAGE]
        if compensation:
            methods.append(motion_compensation.NAME)
        self.scores = VideoScores(methods, [], [])
        self.pending: dict[int, _Pending] = {}
        """Frames that the filter has not output yet, by their number in the video."""
        self.number = 0
        """Number of the first frame of the next interval."""
        self.last: Frame | None = None

    def add(self, interval: list[Frame]) -> None:
        """Score the frames of an interval between its first and last, unless there is a cut."""
        if not any(frame.begins_scene for frame in interval[1:]):
            self._interpolate(interval)
        self.number += len(interval) - 1
        self.last = interval[-1]
        self._score(self.compensation.feed(interval[0].picture) if self.compensation else None)

    def finish(self) -> None:
        """Score the frames that the filter has buffered."""
        if self.compensation and self.last:
            self._score(self.compensation.feed(self.last.picture))
            self._score(self.compensation.flush())

    def _interpolate(self, interval: list[Frame]) -> None:
        first, *truths, second = (
            eight_bit(to_rgb(frame.picture, self.colour)) for frame in interval
        )
        begin, end = interval[0].pts, interval[-1].pts
        times = [Fraction(frame.pts - begin, end - begin) for frame in interval[1:-1]]
        interpolated = self.interpolator.interpolate_many(first, second, times)
        for place, (time, truth) in enumerate(zip(times, truths, strict=True), start=1):
            outputs = {
                self.scores.methods[0]: interpolated[place - 1],
                FIRST_FRAME: first,
                AVERAGE: average(first, second, time),
            }
            seconds = float(interval[place].pts * self.reader.time_base - self.reader.start)
            self.pending[self.number + place] = _Pending(seconds, float(time), outputs, truth)

    def _score(self, compensated: Iterator[tuple[int, Array]] | None) -> None:
        """Score the frames that every method has interpolated."""
        if compensated is None:
            for number in list(self.pending):
                _add(self.scores, self.pending.pop(number))
            return
        for number, image in compensated:
            if number in self.pending:
                frame = self.pending.pop(number)
                outputs = {**frame.outputs, motion_compensation.NAME: image}
                _add(self.scores, replace(frame, outputs=outputs))


def _add(scores: VideoScores, frame: _Pending) -> None:
    """Score a frame; keep its picture if it is one of the worst."""
    measures = {method: measure(frame.truth, each) for method, each in frame.outputs.items()}
    scores.frames.append(FrameScores(frame.seconds, measures, frame.t))
    network = scores.methods[0]
    full = len(scores.worst) == WORST_FRAMES
    if full and measures[network].psnr >= scores.worst[-1][0].measures[network].psnr:
        return
    interpolated = frame.outputs[network]
    difference = error_map(frame.truth, interpolated)
    panels = np.concatenate([frame.truth, interpolated, difference], axis=1)
    labels = draw_labels(["dropped frame", network, "four times the difference"], frame.truth)
    scores.worst.append((scores.frames[-1], np.concatenate([labels, panels])))
    scores.worst.sort(key=lambda each: each[0].measures[network].psnr)
    del scores.worst[WORST_FRAMES:]
