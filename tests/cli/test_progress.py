"""Progress bars."""

from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from midframe.cli import progress
from midframe.cli.progress import new_bar
from midframe.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def console() -> tuple[Console, StringIO]:
    text = StringIO()
    return Console(file=text, width=100, force_terminal=False), text


def render_bar(bar: Any) -> str:
    target, text = console()
    target.print(bar.make_tasks_table(bar.tasks))
    return text.getvalue()


def test_a_bar_without_progress_is_not_printed() -> None:
    target, text = console()
    with suppress(ZeroDivisionError), new_bar(target) as bar:
        bar.add_task("", total=None)
        raise ZeroDivisionError
    with new_bar(target) as bar:
        bar.add_task("", total=5)
    assert text.getvalue() == ""


def test_the_count_never_exceeds_the_total_and_ends_at_it() -> None:
    target, text = console()
    with new_bar(target) as bar:
        task = bar.add_task("", total=None)
        bar.update(task, completed=3, total=4)
        assert "3/4" in render_bar(bar)
        bar.update(task, completed=5.5, total=4)
        assert "4/4" in render_bar(bar)
        bar.update(task, completed=40, total=47.96)
        assert "40/48" in render_bar(bar)
        bar.update(task, completed=47, total=47.96)
    assert "47/47" in text.getvalue()


def test_an_unknown_total_is_not_shown() -> None:
    target, _ = console()
    with new_bar(target) as bar:
        bar.update(bar.add_task("", total=None), completed=7)
        assert "7" in render_bar(bar)
        assert "/" not in render_bar(bar)


def test_no_rate_is_shown_while_kernels_are_compiled(clock: list[float]) -> None:
    target, _ = console()
    with new_bar(target) as bar:
        task = bar.add_task("", total=100)
        for count in (1, 1.5, 2, 3):  # frames that are read ahead
            clock[0] += 0.01
            bar.update(task, completed=count)
            assert "frames/s" not in render_bar(bar)
        for _ in range(14):
            clock[0] += 1
            assert "preparing" in render_bar(bar)
            assert "left" not in render_bar(bar)
        for count in range(4, 25):
            bar.update(task, completed=count)
            clock[0] += 0.5
        assert "1.90 frames/s, 0:00:40 left" in render_bar(bar)
        assert "preparing" not in render_bar(bar)


def test_steady_work_soon_has_a_rate() -> None:
    pace = Pace()
    rates = []
    for step in range(100):
        pace.update(step, step * 0.1)
        rates.append(pace.rate(step * 0.1))
    assert rates[20] is None
    assert rates[99] == pytest.approx(10, rel=0.05)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for step in range(1000):
        pace.update(step * 10, step * 0.1)
    for step in range(100):
        pace.update(10_000 + step, 100 + step)
    assert pace.rate(199) == pytest.approx(1, rel=0.05)
