"""Interpolation of tensors on one device: times, tiles, alpha, and memory that runs out."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from midframe.errors import CheckpointError
from midframe.models.network import Network, tiles
from midframe.ops.dispatch import without_compilation
from midframe.times import nearest_time

log = logging.getLogger(__name__)

MIN_ALPHA = 1 / 65535
"""Colours of pixels with less alpha are undefined."""
MIN_TILE = 128
"""Side in pixels of the smallest tiles that are tried where memory is short."""

FractionProgress = Callable[[float], None]
"""Callback that receives the completed fraction of the work, up to 1."""
FramesByTime = dict[Fraction, Tensor]
"""Frames (1, C, H, W) by their time, from 0 to 1."""


class DeviceInterpolator:
    """Interpolates between two frames that are tensors, on one device.

    Threads can share it. On a GPU the network runs for one of them at a time, while the
    others convert frames.

    Args:
        model: the network, ready for inference on the device.
        device: where it is.
        tile: side of tiles in pixels, 0 for no tiles.
        depth: how many times the interval is halved at most; None for a network for any time.
        single_pair: see `Interpolator`.
    """

    def __init__(
        self,
        model: Network,
        device: torch.device,
        *,
        tile: int,
        depth: int | None,
        single_pair: bool = False,
    ) -> None:
        self.model = model
        self.device = device
        self.tile = tile
        self.depth = depth
        self.single_pair = single_pair
        self._turn: AbstractContextManager[Any] = nullcontext() if device.type == "cpu" else Lock()
        """Held while the network runs: a GPU gains nothing from two at once."""

    def interpolate(
        self,
        first: Tensor,
        second: Tensor,
        times: Sequence[float | Fraction],
        *,
        progress: FractionProgress | None = None,
    ) -> list[Tensor]:
        """Interpolate the frames at several times between two frames; see
        `Interpolator.interpolate_many`.

        If the memory of a GPU does not suffice, the frame is divided into tiles, or into
        smaller ones, and that remains so.

        Args:
            first, second: (1, 3, H, W), or (1, 4, H, W) with alpha, float32 on the device.
            times: from 0 to 1.
            progress: see `Interpolator.interpolate_many`.

        Returns:
            (1, C, H, W) float32 on the device for each time, not clipped.

        Raises:
            ValueError: a time lies outside [0, 1].
            CheckpointError: the network returns samples that are not finite.
            torch.OutOfMemoryError: memory does not suffice for the smallest tiles.
        """
        supported = [nearest_time(time, self.depth) for time in times]
        ends = {Fraction(0): premultiply(first), Fraction(1): premultiply(second)}
        pixels = first.shape[2] * first.shape[3] * len(supported)
        with without_compilation() if self._skip_compilation(pixels) else nullcontext(), self._turn:
            while True:
                try:
                    frames = self._interpolate(dict(ends), supported, progress)
                    break
                except torch.OutOfMemoryError:
                    if not self._use_smaller_tiles(*first.shape[2:]):
                        raise
                torch.cuda.empty_cache()  # outside of the handler, which holds the tensors
        if self.device.type != "cpu":  # after its turn: the check waits for the device
            for time in supported:
                self._check_finite(frames[time])
        return [unpremultiply(frames[time]) for time in supported]

    def _interpolate(
        self, frames: FramesByTime, times: Sequence[Fraction], progress: FractionProgress | None
    ) -> FramesByTime:
        """Add the frames at `times` to `frames`, which holds those at 0 and 1."""
        if self.model.any_time:
            self._interpolate_each(frames, times, progress)
        else:
            self._interpolate_by_halving(frames, times, progress)
        return frames

    def _use_smaller_tiles(self, height: int, width: int) -> bool:
        """Halve the side of the tiles, with a warning; return False if they are the smallest."""
        undivided = len(tiles(height, width, self.tile, self.model.margin)) == 1
        side = max(height, width) if undivided else self.tile
        # tiles of at most this size plus the margin are a whole frame, so go below that at once
        smaller = min(side // 2, max(height, width) - 2 * self.model.margin - 1)
        if smaller < MIN_TILE:
            return False
        self.tile = smaller
        log.warning(
            "the memory of %s is too small: continuing in tiles of %d pixels", self.device, smaller
        )
        return True

    def _skip_compilation(self, pixels: int) -> bool:
        """Return whether compiling takes longer than it saves, for the pixels of all output
        frames."""
        on_cpu = self.device.type == "cpu"
        return self.single_pair and on_cpu and pixels <= self.model.max_plain_pixels

    @torch.inference_mode()
    def _interpolate_each(
        self, frames: FramesByTime, times: Sequence[Fraction], progress: FractionProgress | None
    ) -> None:
        """Add the frames at `times` to `frames`, each interpolated from those at 0 and 1."""
        first, second = frames[Fraction(0)], frames[Fraction(1)]
        wanted = sorted(set(times) - frames.keys())
        prepared = self.model.prepare(first, second) if wanted else None
        for done, time in enumerate(wanted):
            frames[time] = self._interpolate_tiles(
                prepared, first, float(time), scale_progress(progress, done, len(wanted))
            )

    def _interpolate_by_halving(
        self, frames: FramesByTime, times: Sequence[Fraction], progress: FractionProgress | None
    ) -> None:
        """Add the frames at `times`, and the intermediate ones that they need, to `frames`."""
        steps = halving_steps(times)
        for done, time in enumerate(steps):
            before, after = neighbours(time)
            frames[time] = self.middle(
                frames[before], frames[after], scale_progress(progress, done, len(steps))
            )

    @torch.inference_mode()
    def middle(
        self, first: Tensor, second: Tensor, progress: FractionProgress | None = None
    ) -> Tensor:
        """Interpolate the middle frame of two frames (1, C, H, W) float32, clipped to [0, 1], or to
        the range of the frames if that is wider.

        With four channels the last is alpha, and the colours are premultiplied.
        """
        low = min(0.0, float(first.min()), float(second.min()))
        high = max(1.0, float(first.max()), float(second.max()))
        return self._interpolate_tiles(
            self.model.prepare(first, second), first, 0.5, progress
        ).clamp_(low, high)

    def _interpolate_tiles(
        self, prepared: Any, like: Tensor, time: float, progress: FractionProgress | None
    ) -> Tensor:
        """Interpolate a frame at a time, tile by tile, not clipped."""
        height, width = like.shape[2:]
        rectangles = tiles(height, width, self.tile, self.model.margin)
        if len(rectangles) == 1:  # no copy
            whole = self._render_tile(prepared, *rectangles[0], time)
            if progress:
                progress(1.0)
            return whole
        result = torch.empty_like(like)
        for done, (rows, columns) in enumerate(rectangles, start=1):
            result[..., rows, columns] = self._render_tile(prepared, rows, columns, time)
            if progress:
                progress(done / len(rectangles))
        return result

    def _render_tile(self, prepared: Any, rows: slice, columns: slice, time: float) -> Tensor:
        """Render a tile; on the CPU, check it at once."""
        tile: Tensor = self.model.render_tile(prepared, rows, columns, time)
        if self.device.type == "cpu":
            self._check_finite(tile)
        return tile

    def _check_finite(self, frame: Tensor) -> None:
        """Raise a CheckpointError if a sample is not finite, which would become black."""
        if not frame.sum(dtype=torch.float32).isfinite():  # beyond the range of float16
            name = getattr(self.model, "name", type(self.model).__name__)
            raise CheckpointError(
                f"{name} returned samples that are not finite: use --precision float32, "
                "or other weights"
            )


def premultiply(frame: Tensor) -> Tensor:
    """Multiply the colours of a frame (1, C, H, W) by its alpha, if it has one, so that the colours
    of transparent pixels are not mixed in."""
    if frame.shape[1] == 3:
        return frame
    return torch.cat((frame[:, :3] * frame[:, 3:], frame[:, 3:]), dim=1)


def unpremultiply(frame: Tensor) -> Tensor:
    """Invert `premultiply`."""
    if frame.shape[1] == 3:
        return frame
    return torch.cat((frame[:, :3] / frame[:, 3:].clamp(min=MIN_ALPHA), frame[:, 3:]), dim=1)


def scale_progress(
    progress: FractionProgress | None, done: int, count: int
) -> FractionProgress | None:
    """Return the progress callback for one of `count` equal steps, after `done` of them."""
    return (lambda fraction: progress((done + fraction) / count)) if progress else None


def halving_steps(times: Sequence[Fraction]) -> list[Fraction]:
    """Return `times` and all times needed to reach them by halving intervals, in an order in which
    each follows the two around it."""
    needed: set[Fraction] = set()
    pending = list(times)
    while pending:
        time = pending.pop()
        if time.denominator > 1 and time not in needed:
            needed.add(time)
            pending += neighbours(time)
    return sorted(needed, key=lambda time: (time.denominator, time))


def neighbours(time: Fraction) -> tuple[Fraction, Fraction]:
    """Return the two times of which a time k / 2**n is the middle."""
    half_step = Fraction(1, time.denominator)
    return time - half_step, time + half_step
