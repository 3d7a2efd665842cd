"""Measuring the speed of training, and how long it waits for data."""

import time
from collections.abc import Iterator

from midframe.training.objectives import Batch


class TimedBatches:
    """Iterates over batches, and measures how long the training loop waits for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.restart()

    def restart(self) -> None:
        """Restart the measurement."""
        self.started = time.monotonic()
        self.waited = 0.0
        self.count = 0

    def __next__(self) -> Batch:
        requested = time.monotonic()
        batch = next(self.batches)
        self.waited += time.monotonic() - requested
        self.count += 1
        return batch

    def measure(self, batch_size: int) -> dict[str, float]:
        """Return samples per second and the fraction of time spent waiting, and start again.

        Args:
            batch_size: number of samples in a batch, over all devices.
        """
        seconds = time.monotonic() - self.started
        speed = self.count * batch_size / seconds
        waiting = self.waited / seconds
        self.restart()
        return {"samples_per_second": round(speed, 4), "data_wait_fraction": round(waiting, 4)}
