"""Scoring a network on a video of one's own: every second frame is dropped, made again, and compared.

Beside the network stand repeating the frame before, the average of both neighbours, and FFmpeg's motion compensation
(`minterpolate`), all measured on the same frames in the same run. Frames next to a cut are left out: there is nothing
between them to be made.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from midframe.errors import VideoError
from midframe.evaluation import motion_compensation
from midframe.evaluation.figures import save_figure, writing
from midframe.evaluation.measures import COLUMNS, Measures, average, defined, error_map, finite, measure
from midframe.evaluation.motion_compensation import MotionCompensation
from midframe.images import Array, eight_bit, write_image
from midframe.interpolator import Interpolator
from midframe.outputs import whole_file
from midframe.video.colour import to_rgb
from midframe.video.reader import WHOLE, Frame, Part, VideoReader
from midframe.video.scenes import DEFAULT_THRESHOLD

WORST = 5
"""So many of the network's worst frames are shown."""
Progress = Callable[[float, float | None], None]


@dataclass(frozen=True)
class FrameScores:
    """How near each method came to one frame that was dropped."""

    seconds: float
    """When it is shown, after the first frame of the video."""
    measures: dict[str, Measures]
    """By method."""


@dataclass
class VideoScores:
    """How near each method came to the dropped frames of a video."""

    methods: list[str]
    frames: list[FrameScores]
    worst: list[tuple[FrameScores, Array]]
    """Of the network, the worst first: a picture of the truth, what it made, and the difference."""

    def mean(self, of: str, method: str) -> float:
        """The mean over frames of one of the `Measures`."""
        return float(np.mean(defined(getattr(frame.measures[method], of) for frame in self.frames)))


def score_video(
    source: str | Path,
    tool: Interpolator,
    *,
    name: str = "model",
    part: Part = WHOLE,
    cut_threshold: float = DEFAULT_THRESHOLD,
    minterpolate: bool = True,
    progress: Progress | None = None,
) -> VideoScores:
    """Drop every second frame of a video, make it again, and score it by the protocol of `report`.

    Args:
        source: a video.
        tool: what makes the frames.
        name: what it is called in the scores.
        part: what is looked at.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; 0 looks for none.
        minterpolate: measure FFmpeg's motion compensation too, which takes 8-bit 4:2:0 samples and one thread.
        progress: told how many frames are done, and how many there are, if known.

    Raises:
        VideoError: the source cannot be read, or no three frames of it belong together.
    """
    with VideoReader(Path(source), cut_threshold or None, part) as reader:
        picture, colour = reader.first_picture()
        colour = replace(colour, alpha=False)  # colours alone are measured
        rival = MotionCompensation(picture, colour) if minterpolate else None
        scores = VideoScores([name, "repeat", "average", *([motion_compensation.NAME] if rival else [])], [], [])
        waiting: dict[int, tuple[float, dict[str, Array], Array]] = {}
        """Frames whose motion compensation is still to come."""
        after: Frame | None = None
        for number, (before, dropped, after) in enumerate(_triplets(reader)):
            if not (dropped.begins_scene or after.begins_scene):
                first, truth, second = (eight_bit(to_rgb(each.picture, colour)) for each in (before, dropped, after))
                made = tool.interpolate(first, second, _share(before, dropped, after))
                seconds = float(dropped.pts * reader.time_base - reader.start)
                waiting[number] = seconds, {name: made, "repeat": first, "average": average(first, second)}, truth
            _score_ready(scores, waiting, rival.feed(before.picture) if rival else None)
            if progress:
                progress(2 * number + 2, reader.expected_frames)
        if rival and after:
            _score_ready(scores, waiting, rival.feed(after.picture))
            _score_ready(scores, waiting, rival.rest())
        reader.log_damage()
    if not scores.frames:
        raise VideoError(f"{source} has no three frames that belong together there: choose another part")
    return scores


def save_scores(scores: VideoScores, folder: Path) -> None:
    """Write `scores.json`, `scores.png` (every frame's PSNR) and `worst-1.png` and so on into a folder."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for number, (_, picture) in enumerate(scores.worst, start=1):
        write_image(folder / f"worst-{number}.png", picture)
    means = {method: finite(Measures(*(scores.mean(of, method) for of in COLUMNS))) for method in scores.methods}
    by_measure = {of: {method: values[of] for method, values in means.items()} for of in COLUMNS}
    frames = [
        {"seconds": each.seconds, "measures": {method: finite(values) for method, values in each.measures.items()}}
        for each in scores.frames
    ]
    with writing(folder), whole_file(folder / "scores.json") as unfinished:
        unfinished.write_text(json.dumps({"mean": by_measure, "frames": frames}, indent=1) + "\n")
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method in scores.methods:
        axes.plot(
            [each.seconds for each in scores.frames],
            [each.measures[method].psnr for each in scores.frames],
            label=method,
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, folder / "scores.png", dpi=100)


def _triplets(reader: VideoReader) -> Iterator[tuple[Frame, Frame, Frame]]:
    """Frames 0, 1, 2, then 2, 3, 4 and so on."""
    frames = reader.read()
    before = next(frames, None)
    while before and (dropped := next(frames, None)) and (after := next(frames, None)):
        yield before, dropped, after
        before = after


def _share(before: Frame, dropped: Frame, after: Frame) -> Fraction:
    return Fraction(dropped.pts - before.pts, after.pts - before.pts)


def _score_ready(
    scores: VideoScores,
    waiting: dict[int, tuple[float, dict[str, Array], Array]],
    compensated: Iterator[tuple[int, Array]] | None,
) -> None:
    """Score the frames that every method has made."""
    ready = [(number, {}) for number in waiting] if compensated is None else [
        (number, {motion_compensation.NAME: image}) for number, image in compensated if number in waiting
    ]  # fmt: skip
    for number, more in ready:
        seconds, made, truth = waiting.pop(number)
        _add(scores, seconds, made | more, truth)


def _add(scores: VideoScores, seconds: float, made: dict[str, Array], truth: Array) -> None:
    scores.frames.append(FrameScores(seconds, {method: measure(truth, each) for method, each in made.items()}))
    network = scores.methods[0]
    picture = np.concatenate([truth, made[network], error_map(truth, made[network])], axis=1)
    scores.worst.append((scores.frames[-1], picture))
    scores.worst.sort(key=lambda each: each[0].measures[network].psnr)
    del scores.worst[WORST:]
