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


def shown(bar: Any) -> str:
    sheet, text = console()
    sheet.print(bar.make_tasks_table(bar.tasks))
    return text.getvalue()


def test_nothing_is_shown_where_nothing_is_done() -> None:
    sheet, text = console()
    with suppress(ZeroDivisionError), new_bar(sheet) as bar:
        bar.add_task("", total=None)
        raise ZeroDivisionError
    with new_bar(sheet) as bar:
        bar.add_task("", total=5)
    assert text.getvalue() == ""


def test_a_count_never_passes_the_total_and_ends_at_it() -> None:
    sheet, text = console()
    with new_bar(sheet) as bar:
        task = bar.add_task("", total=None)
        bar.update(task, completed=3, total=4)
        assert "3/4" in shown(bar)
        bar.update(task, completed=5.5, total=4)
        assert "4/4" in shown(bar)
        bar.update(task, completed=40, total=47.96)
        assert "40/48" in shown(bar)
        bar.update(task, completed=47, total=47.96)
    assert "47/47" in text.getvalue()


def test_an_unknown_total_is_not_shown() -> None:
    sheet, _ = console()
    with new_bar(sheet) as bar:
        bar.update(bar.add_task("", total=None), completed=7)
        assert "7" in shown(bar)
        assert "/" not in shown(bar)


def test_kernels_that_are_compiled_are_no_rate(clock: list[float]) -> None:
    sheet, _ = console()
    with new_bar(sheet) as bar:
        task = bar.add_task("", total=100)
        for count in (1, 1.5, 2, 3):  # read ahead in no time
            clock[0] += 0.01
            bar.update(task, completed=count)
            assert "frames/s" not in shown(bar)
        for _ in range(14):
            clock[0] += 1
            assert "preparing" in shown(bar)
            assert "left" not in shown(bar)
        for count in range(4, 25):
            bar.update(task, completed=count)
            clock[0] += 0.5
        assert "1.90 frames/s, 0:00:40 left" in shown(bar)
        assert "preparing" not in shown(bar)


def test_work_without_a_pause_has_a_rate_soon() -> None:
    pace = Pace()
    rates = []
    for step in range(100):
        pace.update(step, step * 0.1)
        rates.append(pace.rate(step * 0.1))
    assert rates[20] is None
    assert rates[99] == pytest.approx(10, rel=0.05)


def test_a_rate_follows_the_last_seconds() -> None:
    pace = Pace()
    for step in range(1000):
        pace.update(step * 10, step * 0.1)
    for step in range(100):
        pace.update(10_000 + step, 100 + step)
    assert pace.rate(199) == pytest.approx(1, rel=0.05)
