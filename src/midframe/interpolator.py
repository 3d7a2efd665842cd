"""Interpolator: from two frames of any size to the frames between them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midframe.devices import choose_device, choose_precision
from midframe.images import TYPES, Array, to_image, to_tensor
from midframe.models.checkpoint import DEFAULT_MODEL, channels_last, load_model
from midframe.models.ensemble import Ensemble
from midframe.models.network import Network, tiles

DEFAULT_DEPTH = 4
"""How often the time between two frames is halved at most: times are exact to 1/32 of it."""

MAX_FLOAT = 4.0
"""Frames of float32 are nominally from 0 to 1. Those with larger values were meant to be from 0 to 255."""
SNAP = Fraction(1, 32)
"""A network that makes any time shows a frame itself at times nearer to it, as shares of the way."""
LEAST_ALPHA = 1 / 65535
"""Colours of pixels that are clearer than that cannot be told."""

Progress = Callable[[float], None]
"""Called with the share of the work that is done, up to 1."""
Made = dict[Fraction, Tensor]
"""Frames by their time."""


class Interpolator:
    """Makes frames between two frames; holds the network, so that its weights load once.

    Args:
        model: a network, or the name or file of weights.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best there is.
        tile: side in pixels of the tiles that large frames are cut into; None for the network's own
            choice, 0 for never. Memory grows with the tile, not with the frame.
        scale: how many times smaller a network that can reads frames, a power of two; None to choose by their size.
        ensemble: how many times it is asked about a pair, turned and mirrored, for the mean of what it makes: 1, 2, 4
            or 8. Better, and as many times slower.
        precision: "auto", "float32", "bfloat16" or "float16". Auto takes float16 on CUDA and bfloat16 on processors
            that multiply in it.
        depth: how often time is halved at most to come near a time other than the middle, by a network that makes the
            middle only.

    Raises:
        ValueError: no such device or precision, a tile or depth that is too small, or a scale or ensemble that cannot
            be.
        CheckpointError: the weights cannot be loaded.

    Example:
        >>> import numpy as np
        >>> tool = Interpolator("flowsep", device="cpu")
        >>> black = np.zeros((40, 60, 3), np.uint8)
        >>> tool.interpolate(black, black).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: Network | str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        tile: int | None = None,
        scale: int | None = None,
        ensemble: int = 1,
        precision: str = "auto",
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        if tile is not None and tile < 0:
            raise ValueError(f"tile is {tile}: 0 or more pixels are needed")
        if depth < 1:
            raise ValueError(f"depth is {depth}: 1 or more is needed")
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        network = model if isinstance(model, Network) else load_model(model)
        self.model: Network = channels_last(network.for_inference(self.precision).to(self.device))
        if scale is not None:
            self.model.scale = _checked_scale(scale, network)
        if ensemble != 1:
            self.model = Ensemble(self.model, ensemble)
        self.tile = self.model.tile if tile is None else tile
        self.depth = None if self.model.any_time else depth

    @property
    def identity(self) -> str:
        """A text that tells networks and their weights apart."""
        digest = sha256(repr((type(self.model).__name__, self.model.config, self.model.scale)).encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def pairs_at_once(self, height: int, width: int) -> int:
        """How many pairs of such frames are best made at the same time, each in a thread of its own."""
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
        """Make the frame at one time between two frames; see `interpolate_many`."""
        return self.interpolate_many(first, second, [time], progress=progress)[0]

    def interpolate_many(
        self,
        first: Array,
        second: Array,
        times: Sequence[float | Fraction],
        *,
        progress: Progress | None = None,
    ) -> list[Array]:
        """Make the frames at several times between two frames.

        A network that makes any time makes these. Of one that makes the middle of two frames, other times come from
        halving again, to the nearest multiple of 1 / 2**depth; frames that several times need are made once.

        Args:
            first, second: (H, W, 3) RGB, or (H, W, 4) with alpha, uint8, uint16 or float32, of one size and type. Any
                size. float32 is nominally from 0 to 1; values outside of that are kept, and the result is not clipped.
            times: from 0 (the first frame) to 1 (the second).
            progress: called with the share that is made, several times a frame where frames are made in tiles.

        Returns:
            One array like the frames for each time.

        Raises:
            ValueError: sizes or types differ, or a time lies outside [0, 1].
        """
        check_pair(first, second)
        moments = [nearest_time(time, self.depth) for time in times]
        made = {Fraction(n): premultiplied(to_tensor(each, self.device)) for n, each in enumerate((first, second))}
        if self.model.any_time:
            self._make_each(made, moments, progress)
        else:
            self._make_by_halving(made, moments, progress)
        return [to_image(straight(made[moment]), first.dtype) for moment in moments]

    @torch.inference_mode()
    def _make_each(self, made: Made, moments: Sequence[Fraction], progress: Progress | None) -> None:
        """Add the frames at some times to those at 0 and 1, each made by itself."""
        first, second = made[Fraction(0)], made[Fraction(1)]
        wanted = sorted(set(moments) - made.keys())
        prepared = self.model.prepare(first, second) if wanted else None
        for done, moment in enumerate(wanted):
            made[moment] = self._made_in_parts(prepared, first, float(moment), scaled(progress, done, len(wanted)))

    def _make_by_halving(self, made: Made, moments: Sequence[Fraction], progress: Progress | None) -> None:
        """Add the frames at some times, and those on the way to them, to those at 0 and 1."""
        steps = steps_to(moments)
        for done, moment in enumerate(steps):
            before, after = (made[neighbour] for neighbour in neighbours(moment))
            made[moment] = self.middle(before, after, scaled(progress, done, len(steps)))

    @torch.inference_mode()
    def middle(self, first: Tensor, second: Tensor, progress: Progress | None = None) -> Tensor:
        """Make the middle of two frames (1, C, H, W) float32, clipped to [0, 1], or to their own range if it is wider.

        Of four channels the last is alpha, and the others are multiplied by it.
        """
        low = min(0.0, float(first.min()), float(second.min()))
        high = max(1.0, float(first.max()), float(second.max()))
        return self._made_in_parts(self.model.prepare(first, second), first, 0.5, progress).clamp_(low, high)

    def _made_in_parts(self, prepared: Any, like: Tensor, time: float, progress: Progress | None) -> Tensor:
        """Make a frame at a time, tile by tile, not clipped."""
        height, width = like.shape[2:]
        parts = tiles(height, width, self.tile, self.model.margin)
        if len(parts) == 1:  # no copy
            whole = self.model.render_tile(prepared, *parts[0], time)
            if progress:
                progress(1.0)
            return whole
        result = torch.empty_like(like)
        for done, (rows, columns) in enumerate(parts, start=1):
            result[..., rows, columns] = self.model.render_tile(prepared, rows, columns, time)
            if progress:
                progress(done / len(parts))
        return result


def _checked_scale(scale: int, network: Network) -> int:
    if scale < 1 or scale & (scale - 1):
        raise ValueError(f"scale is {scale}: 1, 2, 4 or another power of two is needed")
    if scale > 1 and network.scale == 1:
        raise ValueError(f"scale is {scale}: {type(network).__name__} reads frames at full size, leave it out")
    return scale


def premultiplied(frame: Tensor) -> Tensor:
    """Colours times alpha, if a frame (1, C, H, W) has some: what cannot be seen must not be mixed in."""
    return frame if frame.shape[1] == 3 else torch.cat((frame[:, :3] * frame[:, 3:], frame[:, 3:]), dim=1)


def straight(frame: Tensor) -> Tensor:
    """The opposite of `premultiplied`."""
    if frame.shape[1] == 3:
        return frame
    return torch.cat((frame[:, :3] / frame[:, 3:].clamp(min=LEAST_ALPHA), frame[:, 3:]), dim=1)


def scaled(progress: Progress | None, done: int, count: int) -> Progress | None:
    """Progress within one of several equal steps, of which some are done."""
    return (lambda share: progress((done + share) / count)) if progress else None


def steps_to(moments: Sequence[Fraction]) -> list[Fraction]:
    """The times to be made on the way to some, each after those that it lies between."""
    needed: set[Fraction] = set()
    open_ones = list(moments)
    while open_ones:
        moment = open_ones.pop()
        if moment.denominator > 1 and moment not in needed:
            needed.add(moment)
            open_ones += neighbours(moment)
    return sorted(needed, key=lambda moment: (moment.denominator, moment))


def neighbours(moment: Fraction) -> tuple[Fraction, Fraction]:
    """The two coarser times that a time is halfway between."""
    half_step = Fraction(1, moment.denominator)
    return moment - half_step, moment + half_step


def check_pair(first: Array, second: Array) -> None:
    """Raise a ValueError that names both shapes and types if two frames do not fit together."""
    given = f"{first.shape} of {first.dtype} and {second.shape} of {second.dtype}"
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(f"both frames must have one size and type, got {given}")
    if first.ndim != 3 or first.shape[2] not in (3, 4) or first.dtype not in TYPES or 0 in first.shape:
        raise ValueError(
            f"frames must be (H, W, 3) RGB, or (H, W, 4) with alpha, of uint8, uint16 or float32, got {given}"
        )
    if first.dtype == np.float32 and first.max() > MAX_FLOAT:
        raise ValueError(f"frames of float32 must be nominally from 0 to 1, got {first.max()}")


def nearest_time(time: float | Fraction, depth: int | None) -> Fraction:
    """The multiple of 1 / 2**depth nearest to a time from 0 to 1; without a depth, the time itself or a near end."""
    if not 0 <= time <= 1:
        raise ValueError(f"time is {time}: from 0 (the first frame) to 1 (the second) is needed")
    if depth is None:
        nearest = Fraction(round(time))
        return nearest if abs(nearest - Fraction(time)) < SNAP else Fraction(time)
    return Fraction(round(Fraction(time) * 2**depth), 2**depth)
