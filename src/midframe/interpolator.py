"""Interpolator: from two frames of any size to the frames between them."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from midframe.images import Array, to_image, to_tensor
from midframe.models.checkpoint import channels_last, load_model
from midframe.models.sepconv import SepConv, Statistics, pair_statistics

DEFAULT_MODEL = "sepconv"
DEFAULT_DEPTH = 4
"""How often the time between two frames is halved at most: times are exact to 1/32 of it."""
TILE = 768
"""Side of the tiles that a larger frame is cut into, in pixels, before their margin."""


class Interpolator:
    """Makes frames between two frames; holds the network, so that its weights load once.

    Args:
        model: a network, or the name or file of weights.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best there is.
        tile: side in pixels of the tiles that large frames are cut into; None for 768, 0 for never. Memory grows with
            the tile, not with the frame.
        precision: "auto", "float32", "bfloat16" or "float16". Auto takes float16 on CUDA and bfloat16 on processors
            that multiply in it.
        depth: how often time is halved at most to come near a time other than the middle.

    Raises:
        ValueError: no such device or precision, or a tile or depth that is too small.
        CheckpointError: the weights cannot be loaded.

    Example:
        >>> import numpy as np
        >>> tool = Interpolator("sepconv", device="cpu")
        >>> black = np.zeros((40, 60, 3), np.uint8)
        >>> tool.interpolate(black, black).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: SepConv | str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        tile: int | None = None,
        precision: str = "auto",
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        if tile is not None and tile < 0:
            raise ValueError(f"tile is {tile}: 0 or more pixels are needed")
        if depth < 1:
            raise ValueError(f"depth is {depth}: 1 or more is needed")
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.model = model if isinstance(model, SepConv) else load_model(model)
        self.model = channels_last(self.model.to(self.device, self.precision)).eval()
        self.tile = TILE if tile is None else tile
        self.depth = depth

    def interpolate(self, first: Array, second: Array, time: float | Fraction = Fraction(1, 2)) -> Array:
        """Make the frame at one time between two frames; see `interpolate_many`."""
        return self.interpolate_many(first, second, [time])[0]

    def interpolate_many(self, first: Array, second: Array, times: Sequence[float | Fraction]) -> list[Array]:
        """Make the frames at several times between two frames.

        The network makes the middle of two frames; other times come from halving again, to the nearest multiple of
        1 / 2**depth. Frames that several times need are made once.

        Args:
            first, second: (H, W, 3) RGB, uint8 or uint16, of one size and type. Any size.
            times: from 0 (the first frame) to 1 (the second).

        Returns:
            One array like the frames for each time.

        Raises:
            ValueError: sizes or types differ, or a time lies outside [0, 1].
        """
        check_pair(first, second)
        moments = [nearest_time(time, self.depth) for time in times]
        made = {Fraction(0): to_tensor(first, self.device), Fraction(1): to_tensor(second, self.device)}
        return [to_image(self._at(moment, made), first.dtype) for moment in moments]

    def _at(self, moment: Fraction, made: dict[Fraction, Tensor]) -> Tensor:
        if moment not in made:
            half_step = Fraction(1, moment.denominator)
            before, after = self._at(moment - half_step, made), self._at(moment + half_step, made)
            made[moment] = self.middle(before, after)
        return made[moment]

    @torch.inference_mode()
    def middle(self, first: Tensor, second: Tensor) -> Tensor:
        """Make the middle of two frames (1, 3, H, W) float32 in [0, 1], clipped to that range."""
        height, width = first.shape[2:]
        if not self.tile or max(height, width) <= self.tile + 2 * self.model.margin:
            whole: Tensor = self.model(first, second)
            return whole.clamp(0, 1)
        statistics = pair_statistics(first, second)
        result = torch.empty_like(first)
        for part in tiles(height, width, self.tile, self.model.margin, self.model.stride):
            result[part.inside] = self._tile(first, second, part, statistics)
        return result

    def _tile(self, first: Tensor, second: Tensor, part: "Tile", statistics: Statistics) -> Tensor:
        made: Tensor = self.model(first[part.seen], second[part.seen], statistics)
        return made[part.within].clamp(0, 1)


Region = tuple[slice, slice, slice, slice]


class Tile(NamedTuple):
    """One tile: the part of the frame it makes, the larger part the network sees, and the first within the second."""

    inside: Region
    seen: Region
    within: Region


def tiles(height: int, width: int, size: int, margin: int, stride: int) -> Iterator[Tile]:
    """Cover a frame with tiles. What the network sees of each begins at a multiple of its stride, as the whole does."""
    step = -(-size // stride) * stride
    reach = -(-margin // stride) * stride
    everything = slice(None)
    for top in range(0, height, step):
        for left in range(0, width, step):
            spans = [_span(start, step, reach, extent) for start, extent in ((top, height), (left, width))]
            yield Tile(*((everything, everything, rows, columns) for rows, columns in zip(*spans, strict=True)))


def _span(start: int, step: int, reach: int, extent: int) -> tuple[slice, slice, slice]:
    stop = min(start + step, extent)
    first = max(0, start - reach)
    return slice(start, stop), slice(first, min(stop + reach, extent)), slice(start - first, stop - first)


def check_pair(first: Array, second: Array) -> None:
    """Raise a ValueError that names both shapes and types if two frames do not fit together."""
    if first.shape != second.shape or first.dtype != second.dtype:
        given = f"{first.shape} of {first.dtype} and {second.shape} of {second.dtype}"
        raise ValueError(f"both frames must have one size and type, got {given}")


def nearest_time(time: float | Fraction, depth: int) -> Fraction:
    """The multiple of 1 / 2**depth nearest to a time from 0 to 1."""
    if not 0 <= time <= 1:
        raise ValueError(f"time is {time}: from 0 (the first frame) to 1 (the second) is needed")
    return Fraction(round(Fraction(time) * 2**depth), 2**depth)


def choose_device(name: str) -> torch.device:
    """Turn a device's name into a device that is there; "auto" prefers CUDA, then MPS, then the CPU."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable in there.items() if usable))
    kind = name.partition(":")[0]
    if not there.get(kind, False):
        usable_names = ", ".join(kind for kind, usable in there.items() if usable)
        raise ValueError(f"device {name!r} is not there: choose from auto, {usable_names}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn a precision's name into a type; "auto" takes what the device is fast in without loss that can be seen."""
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        fast_on_cpu = torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
        return {"cuda": torch.float16, "cpu": fast_on_cpu}.get(device.type, torch.float32)
    if name not in types:
        raise ValueError(f"precision is {name!r}: choose from auto, {', '.join(types)}")
    return types[name]


def cpu_multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products in bfloat16 (AVX-512 BF16 or AMX)."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check)
