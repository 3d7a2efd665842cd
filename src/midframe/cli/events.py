"""Progress as a bar for people, or as lines of JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal

from midframe.cli.shared import frame_bar

ProgressFormat = Literal["bar", "json", "none"]
MIN_PAUSE = 0.5
"""Minimum seconds between two progress events."""

Update = Callable[[float, float | None], None]
"""Callback with the number of finished source frames, and their total if known."""


def write_event(event: str, **fields: Any) -> None:
    """Write an event to standard error, as one line of JSON.

    Args:
        event: its name.
        fields: further JSON values.
    """
    sys.stderr.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stderr.flush()


@contextmanager
def show_progress(form: ProgressFormat) -> Iterator[Update]:
    """Yield a callback that shows progress in the given format."""
    if form == "json":
        yield _events()
    elif form == "none":
        yield lambda done, total: None
    else:
        with frame_bar() as (bar, task):
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _events() -> Update:
    """Return a callback that writes progress events at limited frequency."""
    from midframe.pace import Pace

    pace = Pace()
    last = -MIN_PAUSE

    def update(done: float, total: float | None) -> None:
        nonlocal last
        now = monotonic()
        pace.update(done, now)
        if now - last < MIN_PAUSE and (total is None or done < total):
            return
        last = now
        rate = pace.rate(now)
        left = None if rate is None or total is None else round(max(0.0, total - done) / rate, 1)
        rounded = None if rate is None else round(rate, 2)
        write_event(
            "progress",
            done=int(done),
            total=None if total is None else round(total),
            frames_per_second=rounded,
            seconds_left=left,
        )

    return update
