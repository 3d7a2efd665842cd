"""The renderer renders the frames of the plan, in order."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from helpers.video import Averager, render_frame

from midframe.media.colour.conversion import colour_of
from midframe.media.pictures.images import Array
from midframe.media.reading.source import Frame
from midframe.ops.workers import Workers
from midframe.video import renderer
from midframe.video.plan import LONG_SEGMENT, FrameTiming, Interval, PlanOptions, plan_intervals
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.renderer import Renderer
from midframe.video.timeline import ConstantRate

RATE = Fraction(25)


class Counter(Averager):
    """Counts the pairs of frames that it interpolates between."""

    calls = 0

    def interpolate_many(self, first: Array, second: Array, times: Any, **words: Any) -> Any:
        self.calls += 1
        return super().interpolate_many(first, second, times, **words)


def frames(count: int) -> Iterator[Frame]:
    for number in range(count):
        image = render_frame(number % 5, 16, 32)
        picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p")
        yield Frame(picture, number, begins_scene=number == 3, duration=1)


def times_of(frame: Frame) -> tuple[Fraction, Fraction]:
    return Fraction(frame.pts, RATE), Fraction(frame.pts + 1, RATE)


def render(
    count: int, rules: PlanOptions, workers: int = 1, **options: Any
) -> tuple[list[RenderedFrame], list[Interval], Counter]:
    tool, intervals = Counter(), list[Interval]()
    colour = colour_of(next(frames(1)).picture)
    with Workers(workers) as threads:
        rendering = Renderer(threads, tool, colour, overlays=False, **options)
        shown = list(rendering.frames(frames(count), rules, times_of, intervals.append))
    return shown, intervals, tool


@pytest.mark.parametrize("workers", [1, 3])
def test_every_planned_frame_is_rendered_at_its_time(workers: int) -> None:
    rules = PlanOptions(ConstantRate(3 * RATE), RATE)
    shown, intervals, tool = render(6, rules, workers)
    timings = [FrameTiming(*times_of(each), each.begins_scene) for each in frames(6)]
    assert intervals == list(plan_intervals(timings, rules))
    planned = [each for interval in intervals for each in interval.frames]
    assert [each.pts for each in shown] == [each.pts for each in planned]
    assert tool.calls == 4  # of five pairs, one of which has a cut between
    sources = [frame.picture for frame in frames(6)]
    for each, frame in zip(planned, shown, strict=True):
        picture = frame.picture.to_ndarray().astype(int)
        first = sources[each.source].to_ndarray().astype(int)
        if each.action in ("keep", "hold"):
            assert np.array_equal(picture, first)
        else:
            second = sources[each.source + 1].to_ndarray().astype(int)
            expected = first * float(1 - each.t) + second * float(each.t)
            assert abs(picture - expected).max() <= 2


def test_the_original_is_the_source_frame_in_front() -> None:
    shown, intervals, _ = render(4, PlanOptions(ConstantRate(2 * RATE), RATE))
    befores = [each.before for each in intervals for _ in each.frames]
    sources = [frame.picture.to_ndarray() for frame in frames(4)]
    for before, frame in zip(befores, shown, strict=True):
        assert before is not None
        assert np.array_equal(frame.original.to_ndarray(), sources[before])


def test_frames_of_finished_segments_are_not_interpolated() -> None:
    rules, count = PlanOptions(ConstantRate(2 * RATE), RATE), LONG_SEGMENT // 2 + 6
    whole, _, _ = render(count, rules)
    rest, intervals, tool = render(count, rules, finished=1)
    assert [each.pts for each in rest] == [each.pts for each in whole if each.segment == 1]
    assert tool.calls == sum(each.segment == 1 and each.type == "motion" for each in intervals) > 0


def test_progress_increases_to_the_number_of_source_frames() -> None:
    reported: list[float] = []
    render(4, PlanOptions(ConstantRate(2 * RATE), RATE), progress=reported.append)
    assert sorted(reported) == reported
    assert (reported[0], reported[-1]) == (1, 4)
    assert any(each % 1 for each in reported)


def test_pipelines_are_compiled_once_and_only_if_a_frame_is_interpolated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(
        renderer, "compile_pipelines", lambda picture, _: compiled.append(picture.format.name)
    )
    render(6, PlanOptions(ConstantRate(RATE), RATE))
    assert compiled == []
    render(6, PlanOptions(ConstantRate(2 * RATE), RATE))
    assert compiled == ["yuv444p"]
