"""Score a network on any video: drop every second frame, interpolate it, and compare.

The baselines are the previous frame, the mean of both neighbours, and FFmpeg's motion compensation
(`minterpolate`), all measured on the same frames in the same run. Frames next to a cut are omitted.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
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
    Measures,
    average,
    error_map,
    measure,
    to_json_values,
    values_for_mean,
)
from midframe.evaluation.motion_compensation import MotionCompensation
from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import to_rgb
from midframe.media.pictures.images import Array, eight_bit, write_image
from midframe.media.pictures.labels import draw_labels
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.scenes import DEFAULT_THRESHOLD
from midframe.media.reading.source import WHOLE_SOURCE, Frame, FrameSource, TimeRange, log_damage
from midframe.outputs import atomic_write

WORST_FRAMES = 5
"""Number of the network's worst frames that are saved."""
Progress = Callable[[float, float | None], None]


@dataclass(frozen=True)
class FrameScores:
    """Measurements of one dropped frame."""

    seconds: float
    """Time after the first frame of the video."""
    measures: dict[str, Measures]
    """Measurements by method."""


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
    minterpolate: bool = True,
    progress: Progress | None = None,
) -> VideoScores:
    """Drop every second frame of a video, interpolate it, and score it as `report` does.

    Args:
        source: a video.
        interpolator: the interpolator.
        name: its name in the scores.
        time_range: of the video to score.
        cut_threshold: scene change score, up to 100, from which there is a cut; 0 for no cuts.
        minterpolate: also measure FFmpeg's motion compensation (8-bit 4:2:0, one thread).
        progress: called with the number of frames done and, if known, the total.

    Raises:
        VideoError: the source cannot be read, or has no three successive frames without a cut.
    """
    with VideoReader(Path(source), cut_threshold or None, time_range) as reader:
        picture, colour = reader.first_picture()
        colour = replace(colour, alpha=False)  # alpha is not measured
        compensation = MotionCompensation(picture, colour) if minterpolate else None
        methods = [name, FIRST_FRAME, AVERAGE]
        if compensation:
            methods.append(motion_compensation.NAME)
        scores = VideoScores(methods, [], [])
        pending: dict[int, _Pending] = {}
        """Frames that the filter has not output yet, by triplet."""
        after: Frame | None = None
        for number, (before, dropped, after) in enumerate(_triplets(reader)):
            if not (dropped.begins_scene or after.begins_scene):
                first, truth, second = (
                    eight_bit(to_rgb(frame.picture, colour)) for frame in (before, dropped, after)
                )
                time = _relative_time(before, dropped, after)
                outputs = {
                    name: interpolator.interpolate(first, second, time),
                    FIRST_FRAME: first,
                    AVERAGE: average(first, second),
                }
                seconds = float(dropped.pts * reader.time_base - reader.start)
                pending[number] = _Pending(seconds, outputs, truth)
            ready = compensation.feed(before.picture) if compensation else None
            _score_ready(scores, pending, ready)
            if progress:
                progress(2 * number + 2, reader.expected_frames)
        if compensation and after:
            _score_ready(scores, pending, compensation.feed(after.picture))
            _score_ready(scores, pending, compensation.flush())
        log_damage(reader)
    if not scores.frames:
        raise VideoError(
            f"{source} has no three successive frames without a cut there: choose another section"
        )
    return scores


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


def _triplets(reader: FrameSource) -> Iterator[tuple[Frame, Frame, Frame]]:
    """Yield frames 0, 1, 2, then 2, 3, 4 and so on."""
    frames = reader.read()
    before = next(frames, None)
    while before and (dropped := next(frames, None)) and (after := next(frames, None)):
        yield before, dropped, after
        before = after


def _relative_time(before: Frame, dropped: Frame, after: Frame) -> Fraction:
    """Return the time of the dropped frame, from 0 (before) to 1 (after)."""
    return Fraction(dropped.pts - before.pts, after.pts - before.pts)


@dataclass(frozen=True)
class _Pending:
    """A dropped frame that motion compensation has not interpolated yet."""

    seconds: float
    outputs: dict[str, Array]
    """Interpolated frames by method."""
    truth: Array


def _score_ready(
    scores: VideoScores,
    pending: dict[int, _Pending],
    compensated: Iterator[tuple[int, Array]] | None,
) -> None:
    """Score the frames that every method has interpolated."""
    if compensated is None:
        for number in list(pending):
            _add(scores, pending.pop(number))
        return
    for number, image in compensated:
        if number in pending:
            frame = pending.pop(number)
            _add(scores, replace(frame, outputs={**frame.outputs, motion_compensation.NAME: image}))


def _add(scores: VideoScores, frame: _Pending) -> None:
    """Score a frame; keep its picture if it is one of the worst."""
    measures = {method: measure(frame.truth, each) for method, each in frame.outputs.items()}
    scores.frames.append(FrameScores(frame.seconds, measures))
    network = scores.methods[0]
    interpolated = frame.outputs[network]
    difference = error_map(frame.truth, interpolated)
    panels = np.concatenate([frame.truth, interpolated, difference], axis=1)
    labels = draw_labels(["dropped frame", network, "four times the difference"], frame.truth)
    scores.worst.append((scores.frames[-1], np.concatenate([labels, panels])))
    scores.worst.sort(key=lambda each: each[0].measures[network].psnr)
    del scores.worst[WORST_FRAMES:]
