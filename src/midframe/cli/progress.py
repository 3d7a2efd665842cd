"""Progress bars: the rate is shown only after it is measured, and the count never exceeds the
total."""

from time import monotonic
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from midframe.pace import Pace
from midframe.times import format_seconds


class FrameBar(Progress):
    """A progress bar that appears with its first update; its count never exceeds the total."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if not self.live.is_started:
            return
        if kind is None:
            for task in self.tasks:
                super().update(task.id, total=task.completed)
        self.stop()

    def add_task(self, description: str, *rest: Any, **named: Any) -> TaskID:
        return super().add_task(description, *rest, **named, pace=Pace())

    def update(self, task_id: TaskID, *, total: float | None = None, **named: Any) -> None:
        task = self._tasks[task_id]
        total = task.total if total is None else total
        completed = named.get("completed")
        if completed is not None:
            task.fields["pace"].update(completed, monotonic())
            named["completed"] = completed if total is None else min(completed, total)
        super().update(task_id, total=total, **named)
        if not self.live.is_started:
            self.start()


class CountColumn(ProgressColumn):
    """The finished count, and the total if it is known."""

    def render(self, task: Task) -> Text:
        return Text(
            f"{int(task.completed)}"
            if task.total is None
            else f"{int(task.completed)}/{round(task.total)}"
        )


class RateColumn(ProgressColumn):
    """Frames per second, and the time left."""

    def render(self, task: Task) -> Text:
        pace, now = task.fields["pace"], monotonic()
        rate = pace.rate(now)
        if task.finished:
            return Text("")
        if rate is None:
            return Text("preparing" if pace.is_preparing(now) else "")
        left = ""
        if task.total is not None:
            left = f", {format_seconds((task.total - task.completed) / rate)} left"
        return Text(f"{rate:.2f} frames/s{left}")


def new_bar(console: Console, *, disable: bool = False) -> FrameBar:
    """Return a bar with a count, the time so far, the rate and the time left, or a hidden one."""
    columns = BarColumn(), CountColumn(), TimeElapsedColumn(), RateColumn()
    return FrameBar(*columns, console=console, disable=disable)


class BatchBar(FrameBar):
    """Progress bars of a batch: one counts the videos, and each video that is being converted has
    one that counts its frames."""

    def start_videos(self, count: int | None) -> None:
        """Show the bar of the videos.

        Args:
            count: number of videos; None if it is unknown.
        """
        self._videos = self.add_task("videos", total=count)
        self._present: dict[str, TaskID] = {}
        self._done = 0

    def update_video(self, name: str, done: float, total: float | None) -> None:
        """Show the progress of a video."""
        if name not in self._present:
            self._present[name] = self.add_task(name)
        self.update(self._present[name], completed=done, total=total)

    def finish_video(self, name: str) -> None:
        """Remove the bar of a video, and count it."""
        if name in self._present:
            self.remove_task(self._present.pop(name))
        self._done += 1
        self.update(self._videos, completed=self._done)


def new_batch_bar(console: Console, count: int | None, *, disable: bool = False) -> BatchBar:
    """Create the progress bar of a batch, or a hidden one; `count` as in
    `BatchBar.start_videos`."""
    bar = BatchBar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        CountColumn(),
        TimeElapsedColumn(),
        RateColumn(),
        console=console,
        disable=disable,
    )
    bar.start_videos(count)
    return bar
