"""Interpolator: from two frames of any size to the frames between them."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midframe.devices import choose_device, choose_precision
from midframe.errors import OptionError
from midframe.media.pictures.images import Array
from midframe.models.checkpoint import channels_last, load_model
from midframe.models.ensemble import Ensemble
from midframe.models.network import Network, tiles
from midframe.ops.dispatch import without_compilation
from midframe.options import EnsembleSize, InterpolationOptions, Precision
from midframe.tensors import TYPES, to_image, to_tensor
from midframe.times import nearest_time

log = logging.getLogger(__name__)

MAX_FLOAT = 4.0
"""Frames of float32 are nominally from 0 to 1; a larger maximum indicates a frame from 0 to 255,
which is refused."""
MIN_ALPHA = 1 / 65535
"""Colours of pixels with less alpha are undefined."""

Progress = Callable[[float], None]
"""Callback that receives the completed fraction of the work, up to 1."""
FramesByTime = dict[Fraction, Tensor]
"""Frames (1, C, H, W) by their time, from 0 to 1."""


class Interpolator:
    """Interpolates between two frames; holds the network, so that its weights load once.

    Args:
        model: a network, or the name or file of weights.
        device, tile, scale, ensemble, precision, depth: as in `InterpolationOptions`.
        single_pair: only one pair of frames will be interpolated. On the CPU, a network then uses
            the PyTorch implementations where compiling the faster ones would take longer.

    Raises:
        OptionError: an option has a value that it cannot have, or the device is not available.
        CheckpointError: the weights cannot be loaded.

    Examples:
        >>> import numpy as np
        >>> tool = Interpolator("flowsep", device="cpu")
        >>> black = np.zeros((40, 60, 3), np.uint8)
        >>> tool.interpolate(black, black).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: Network | str = InterpolationOptions.model,
        *,
        device: str = InterpolationOptions.device,
        tile: int | None = InterpolationOptions.tile,
        scale: int | None = InterpolationOptions.scale,
        ensemble: EnsembleSize = InterpolationOptions.ensemble,
        precision: Precision = InterpolationOptions.precision,
        depth: int = InterpolationOptions.depth,
        single_pair: bool = False,
    ) -> None:
        self.options = InterpolationOptions(
            model if isinstance(model, str) else type(model).__name__,
            device=device,
            tile=tile,
            scale=scale,
            ensemble=ensemble,
            precision=precision,
            depth=depth,
        )
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        network = model if isinstance(model, Network) else load_model(model)
        self.model: Network = channels_last(network.for_inference(self.precision).to(self.device))
        if scale is not None:
            _check_scale(scale, network)
            self.model.scale = scale
        if ensemble != 1:
            self.model = Ensemble(self.model, ensemble)
        self.tile = self.model.tile if tile is None else tile
        self.depth = None if self.model.any_time else depth
        self.single_pair = single_pair
        log.info(
            "%s on %s in %s",
            self.options.model,
            self.device,
            str(self.precision).removeprefix("torch."),
        )

    @classmethod
    def from_options(
        cls, options: InterpolationOptions, *, single_pair: bool = False
    ) -> "Interpolator":
        """Build an Interpolator; arguments and errors as of `Interpolator`."""
        given = {each.name: getattr(options, each.name) for each in fields(options)}
        return cls(**given, single_pair=single_pair)

    @property
    def identity(self) -> str:
        """Return a hash of the network, its settings and its weights."""
        digest = sha256(
            repr((type(self.model).__name__, self.model.config, self.model.scale)).encode()
        )
        for name, tensor in self.model.state_dict().items():
            digest.update(
                name.encode() + tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes()
            )
        return digest.hexdigest()

    def pairs_at_once(self, height: int, width: int) -> int:
        """Return how many pairs of frames of this size to interpolate in parallel, each in its own
        thread."""
        if self.device.type != "cpu":
            return 1
        return min(torch.get_num_threads(), self.model.pairs_at_once(height, width))

    def interpolate(
        self,
        first: Array,
        second: Array,
        time: float | Fraction = Fraction(1, 2),
        *,
        progress: Progress | None = None,
    ) -> Array:
        """Interpolate the frame at one time between two frames; see `interpolate_many`."""
        return self.interpolate_many(first, second, [time], progress=progress)[0]

    def interpolate_many(
        self,
        first: Array,
        second: Array,
        times: Sequence[float | Fraction],
        *,
        progress: Progress | None = None,
    ) -> list[Array]:
        """Interpolate the frames at several times between two frames.

        Networks for any time interpolate each time directly. Networks for the middle frame halve
        the interval repeatedly, so times are rounded to multiples of 1 / 2**depth; intermediate
        frames that several times need are interpolated once.

        Args:
            first, second: (H, W, 3) RGB, or (H, W, 4) with alpha, uint8, uint16 or float32, of one
                size and type. Any size. float32 is nominally from 0 to 1; values outside of that
                are kept, and the result is not clipped.
            times: from 0 (the first frame) to 1 (the second).
            progress: called with the completed fraction: once per frame, or per tile of frames that
                are divided into tiles.

        Returns:
            One array of the frames' shape and type for each time.

        Raises:
            ValueError: sizes or types differ, or a time lies outside [0, 1].
        """
        check_pair(first, second)
        supported = [nearest_time(time, self.depth) for time in times]
        frames = {
            Fraction(0): premultiply(to_tensor(first, self.device)),
            Fraction(1): premultiply(to_tensor(second, self.device)),
        }
        pixels = first.shape[0] * first.shape[1] * len(supported)
        with without_compilation() if self._skip_compilation(pixels) else nullcontext():
            if self.model.any_time:
                self._interpolate_each(frames, supported, progress)
            else:
                self._interpolate_by_halving(frames, supported, progress)
        return [to_image(unpremultiply(frames[time]), first.dtype) for time in supported]

    def _skip_compilation(self, pixels: int) -> bool:
        """Return whether compiling takes longer than it saves, for the pixels of all output
        frames."""
        on_cpu = self.device.type == "cpu"
        return self.single_pair and on_cpu and pixels <= self.model.max_plain_pixels

    @torch.inference_mode()
    def _interpolate_each(
        self, frames: FramesByTime, times: Sequence[Fraction], progress: Progress | None
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
        self, frames: FramesByTime, times: Sequence[Fraction], progress: Progress | None
    ) -> None:
        """Add the frames at `times`, and the intermediate ones that they need, to `frames`."""
        steps = halving_steps(times)
        for done, time in enumerate(steps):
            before, after = neighbours(time)
            frames[time] = self.middle(
                frames[before], frames[after], scale_progress(progress, done, len(steps))
            )

    @torch.inference_mode()
    def middle(self, first: Tensor, second: Tensor, progress: Progress | None = None) -> Tensor:
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
        self, prepared: Any, like: Tensor, time: float, progress: Progress | None
    ) -> Tensor:
        """Interpolate a frame at a time, tile by tile, not clipped."""
        height, width = like.shape[2:]
        rectangles = tiles(height, width, self.tile, self.model.margin)
        if len(rectangles) == 1:  # no copy
            whole = self.model.render_tile(prepared, *rectangles[0], time)
            if progress:
                progress(1.0)
            return whole
        result = torch.empty_like(like)
        for done, (rows, columns) in enumerate(rectangles, start=1):
            result[..., rows, columns] = self.model.render_tile(prepared, rows, columns, time)
            if progress:
                progress(done / len(rectangles))
        return result


def _check_scale(scale: int, network: Network) -> None:
    if scale > 1 and network.scale == 1:
        name = type(network).__name__
        raise OptionError(
            f"`scale` is {scale}: {name} processes frames at full resolution only, drop `scale`"
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


def scale_progress(progress: Progress | None, done: int, count: int) -> Progress | None:
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


def check_pair(first: Array, second: Array) -> None:
    """Raise a ValueError with both shapes and types unless two frames can be interpolated."""
    given = f"{first.shape} of {first.dtype} and {second.shape} of {second.dtype}"
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(f"both frames must have one size and type, got {given}")
    if (
        first.ndim != 3
        or first.shape[2] not in (3, 4)
        or first.dtype not in TYPES
        or 0 in first.shape
    ):
        raise ValueError(
            "frames must be (H, W, 3) RGB, or (H, W, 4) with alpha, of uint8, uint16 or float32, "
            f"got {given}"
        )
    if first.dtype == np.float32 and first.max() > MAX_FLOAT:
        raise ValueError(f"frames of float32 must be nominally from 0 to 1, got {first.max()}")
