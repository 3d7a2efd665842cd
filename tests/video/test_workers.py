"""Pairs of frames interpolated in parallel: threads, order, failures, memory."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from typing import Any

import numpy as np
import pytest
import torch
from helpers.video import Averager, Breaker, frames_of, planes

from midframe.errors import MidframeError
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.models.network import Network
from midframe.ops.workers import Workers, worker_index
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def in_a_thread(call: Callable[[], Any]) -> Any:
    found: list[Any] = []
    other = Thread(target=lambda: found.append(call()))
    other.start()
    other.join()
    return found[0]


def test_workers_divide_the_threads_among_them() -> None:
    together = Barrier(2)

    def state() -> tuple[int, int]:
        together.wait(timeout=60)  # so that neither does both
        return worker_index(), torch.get_num_threads()

    with Workers(2) as workers:
        assert sorted(each.result() for each in [workers.submit(state) for _ in range(2)]) == [
            (0, 1),
            (1, 1),
        ]
    assert (worker_index(), torch.get_num_threads(), in_a_thread(torch.get_num_threads)) == (
        0,
        2,
        2,
    )


def test_queued_jobs_are_cancelled_after_a_failure() -> None:
    done, begun, dropped = [], Event(), Event()

    def work(number: int) -> None:
        begun.set()
        if number == 0:
            dropped.wait(timeout=20)
        done.append(number)

    def fail_among_others() -> None:
        with Workers(1) as workers:
            calls = [workers.submit(work, number) for number in range(20)]
            begun.wait(timeout=60)
            calls[-1].add_done_callback(lambda _: dropped.set())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_among_others()
    assert done == [0]


class Recorder(Averager):
    """Records the first frame of each pair; with a single worker, in the order of the video."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[bytes, int] = {}

    def interpolate_many(
        self, first: Array, second: Array, times: Any, **words: Any
    ) -> list[Array]:
        self.numbers[first.tobytes()] = len(self.numbers)
        return super().interpolate_many(first, second, times, **words)


def number_pairs(source: Path, **options: Any) -> dict[bytes, int]:
    """Return the numbers of the pairs of a video, by their first frames: threads begin pairs in any
    order."""
    recorder = Recorder()
    interpolate_video(source, source.with_name("recorded.mp4"), model=recorder, **options)
    return recorder.numbers


class Uneven(Averager):
    """Delays some pairs until later ones have begun, and records the progress of the others."""

    def __init__(
        self, pairs: int, numbers: dict[bytes, int], slow: set[int], patience: float = 0.0
    ) -> None:
        super().__init__(pairs)
        self.numbers, self.slow, self.lock = numbers, slow, Lock()
        self.last = -1
        """The largest number of a pair that was begun."""
        self.patience = patience
        """Seconds for which a slow pair waits at most until a later one has begun."""
        self.ahead: list[int] = []

    def interpolate_many(
        self, first: Array, second: Array, times: Any, **words: Any
    ) -> list[Array]:
        number = self.numbers[first.tobytes()]
        with self.lock:
            self.last = max(self.last, number)
        if number in self.slow:
            until = time.monotonic() + self.patience
            while self.last <= number and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.2)
            self.ahead.append(self.last - number)
        return super().interpolate_many(first, second, times, **words)


def luma_of(path: Path) -> list[Array]:
    return [planes(frame)[0] for frame in frames_of(path)]


def test_frames_are_yielded_in_order_whichever_worker_finishes_first(
    render_video: Render, tmp_path: Path
) -> None:
    source, shown = render_video(frames=14, cut_at=8), []
    numbers = number_pairs(source)
    for pairs in (1, 3):
        target, tool = tmp_path / f"{pairs}.mkv", Uneven(pairs, numbers, {0, 4, 5, 11})
        report = interpolate_video(source, target, factor=3, model=tool, codec="ffv1")
        assert (report.frames_in, report.frames_interpolated, report.cuts) == (14, 24, 1)
        shown.append(luma_of(target))
    assert len(shown[0]) == len(shown[1]) == 42
    assert all(np.array_equal(one, other) for one, other in zip(*shown, strict=True))


def test_the_number_of_pending_pairs_is_limited(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=14)
    tool = Uneven(2, number_pairs(source), {0, 6}, patience=30)
    interpolate_video(source, tmp_path / "out.mp4", model=tool)
    assert [0 < ahead <= 2 for ahead in tool.ahead] == [True, True]


def test_a_failing_worker_ends_the_work(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=30)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MidframeError, match="broke"):
        interpolate_video(source, tmp_path / "out.mp4", model=Breaker(2))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_flowsep_gives_the_same_frames_in_parallel(render_video: Render, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tool = Interpolator(
        FlowSep(FlowSepConfig(widths=(16,) * 4, hidden=(16,) * 4, radii=(0, 1, 2, 2))), device="cpu"
    )
    assert tool.pairs_at_once(96, 128) == 2
    source, shown = render_video(frames=8, sound=False), []
    for pairs in (1, 2):
        tool.pairs_at_once = lambda *_, pairs=pairs: pairs  # type: ignore[method-assign,misc]
        interpolate_video(source, tmp_path / f"{pairs}.mkv", model=tool, codec="ffv1")
        shown.append(luma_of(tmp_path / f"{pairs}.mkv"))
    assert max(abs(one - other).max() for one, other in zip(*shown, strict=True)) <= 1


@pytest.mark.parametrize(
    ("size", "scale", "views", "pairs"),
    [
        ((360, 640), None, 1, 14),
        ((720, 1280), None, 1, 9),
        ((720, 1280), None, 4, 2),
        ((1080, 1920), None, 1, 4),
        ((1080, 1920), 1, 1, 1),
        ((2160, 3840), None, 1, 1),
        ((4320, 7680), None, 1, 1),
    ],
)
def test_memory_limits_the_pairs_in_parallel(
    size: tuple[int, int], scale: int | None, views: int, pairs: int
) -> None:
    tool = Interpolator(FlowSep(), device="cpu", scale=scale, ensemble=views)
    assert tool.model.pairs_at_once(*size) == pairs
    assert tool.pairs_at_once(*size) == min(pairs, torch.get_num_threads())


def test_other_networks_interpolate_one_pair_at_a_time(tiny_model: Network) -> None:
    assert Interpolator(tiny_model, device="cpu").pairs_at_once(96, 128) == 1


def test_many_frames_of_one_pair_are_divided_among_workers(
    render_video: Render, tmp_path: Path
) -> None:
    most: list[int] = []

    class Counting(Averager):
        def interpolate_many(
            self, first: Array, second: Array, times: Any, **words: Any
        ) -> list[Array]:
            most.append(len(times))
            return super().interpolate_many(first, second, times, **words)

    source = render_video(frames=2, sound=False)  # once: x264 can give other samples in each run
    shown = []
    for pairs, jobs in ((1, [19]), (2, [8, 8, 3])):
        most.clear()
        interpolate_video(
            source,
            tmp_path / f"{pairs}.mkv",
            factor=20,
            model=Counting(pairs),
            codec="ffv1",
        )
        assert sorted(most, reverse=True) == jobs
        shown.append(luma_of(tmp_path / f"{pairs}.mkv"))
    assert all(np.array_equal(one, other) for one, other in zip(*shown, strict=True))
