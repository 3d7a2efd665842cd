"""Functions that the Halide pipelines share: supported tensors, views of their memory,
compilation."""

from collections.abc import Callable
from functools import cache, wraps
from threading import Lock, RLock
from typing import Any

import halide as hl
import numpy as np
import torch
from torch import Tensor

from midframe.ops.native_cache import NativeFunction, load_pipeline

Neighbours = tuple[Any, Any, Any]
"""Two neighbouring pixels along an axis, and the distance of a position from the first, in
[0, 1)."""

LANES = 16
"""Values that a vector holds, in float32: one register of AVX-512, two of AVX2, four of NEON."""

TYPES = (torch.float32, torch.bfloat16)
"""Types of features, for the pipelines that read them."""


@cache
def natural_lanes() -> int:
    """Return the number of float32 values in one register of the processor at hand, for pipelines
    that need all registers."""
    lanes: int = hl.get_jit_target_from_environment().natural_vector_size(hl.Float(32))
    return lanes


def supports(frame: Tensor) -> bool:
    """Return whether the pipelines support such a frame: float32, on the CPU."""
    return frame.device.type == "cpu" and frame.dtype == torch.float32


def supports_features(features: Tensor) -> bool:
    """Return whether the pipelines that read features support such ones: float32 or bfloat16, on
    the CPU."""
    return features.device.type == "cpu" and features.dtype in TYPES


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's memory as an array; bfloat16 as integers with the same bits."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def storage(bf16: bool) -> Any:
    """Return the type of the array that `array` returns for float32 or, if bf16, for bfloat16."""
    return hl.UInt(16) if bf16 else hl.Float(32)


def as_float(value: Any, bf16: bool) -> Any:
    """Convert a value of type `storage` to float32, of which bfloat16 is the upper half."""
    return hl.reinterpret(hl.Float(32), hl.cast(hl.UInt(32), value) << 16) if bf16 else value


def as_stored(value: Any, bf16: bool) -> Any:
    """Invert `as_float`, rounded to nearest even."""
    if not bf16:
        return value
    bits = hl.reinterpret(hl.UInt(32), value)
    is_odd = (bits >> 16) & 1  # a tie rounds up only then
    return hl.cast(hl.UInt(16), (bits + 0x7FFF + is_odd) >> 16)


def buffer(tensor: Tensor) -> hl.Buffer:
    """Return a tensor (N, C, H, W) for reading, as Halide's (x, y, c, n); likewise with more
    dimensions. It is copied if rows are not contiguous."""
    return hl.Buffer(array(tensor if tensor.stride(-1) == 1 else _copy_rows(tensor)))


def _copy_rows(tensor: Tensor) -> Tensor:
    """Copy a tensor so that its rows are contiguous. Large images (N, C, H, W) with many channels,
    innermost, are copied as matrices, which PyTorch transposes in a fifth of the time."""
    if tensor.ndim != 4 or tensor.stride(1) != 1 or tensor.shape[1] < LANES:
        return tensor.contiguous()
    copy = tensor.new_empty(tensor.shape)
    for source, target in zip(tensor, copy, strict=True):
        target.flatten(1).copy_(source.permute(1, 2, 0).flatten(0, 1).t())  # (C, H*W)
    return copy


def buffer_view(tensor: Tensor) -> hl.Buffer:
    """Return a Halide buffer that shares the memory of a tensor, or of a part of one."""
    return hl.Buffer(array(tensor))


def channels_innermost(tensor: Tensor) -> hl.Buffer:
    """Return (N, C, H, W) for reading, as (c, x, y, n); without a copy if channels are
    innermost."""
    return buffer_view(tensor.permute(0, 2, 3, 1).contiguous())


def interleaved_rows(frame: Tensor) -> hl.Buffer:
    """Return (N, C, H, W) for reading, as (colours of the pixels of a row, y, n); without a copy if
    they are adjacent."""
    return buffer_view(frame.permute(0, 2, 3, 1).contiguous().flatten(2))


def interleaved_pixels(frame: Tensor) -> hl.Buffer:
    """Return (N, C, H, W) for reading, as (colours of all pixels, n); without a copy if they are
    adjacent."""
    return buffer_view(frame.permute(0, 2, 3, 1).contiguous().flatten(1))


def lerp(first: Any, second: Any, fraction: Any) -> Any:
    """Interpolate between two values, by the fraction of the way from the first."""
    return first + (second - first) * fraction


def upsampling_source(pixel: Any, factor: int) -> tuple[Any, Any]:
    """Return where a pixel of an image that is upsampled `factor` times lies in the small image,
    along one axis: at (pixel + 0.5) / factor - 0.5 (bilinear, corners not aligned).

    Returns:
        The index of the value before it (the other value is the next one), and the distance from
        there, in [0, 1).
    """
    # Whole numbers of half pixels, from the edge of the value that covers the pixel.
    half_pixels = 2 * (pixel % factor) + 1
    distance = hl.cast(hl.Float(32), (half_pixels + factor) % (2 * factor)) / (2.0 * factor)
    return pixel // factor - hl.cast(hl.Int(32), half_pixels < factor), distance


def fetch_bilinear(
    image: hl.ImageParam,
    channel: Any,
    sample: Any,
    across: Neighbours,
    down: Neighbours,
    *,
    bf16: bool,
) -> Any:
    """Interpolate an image, (c, x, y, n) of type `storage`, between four of its pixels, as
    float32."""
    left, right, x_fraction = across
    above, below, y_fraction = down

    def fetch_row(row: Any) -> Any:
        return lerp(
            as_float(image[channel, left, row, sample], bf16),
            as_float(image[channel, right, row, sample], bf16),
            x_fraction,
        )

    return lerp(fetch_row(above), fetch_row(below), y_fraction)


def channel_groups(channels: int, size: int) -> list[slice]:
    """Divide channels into groups of at most `size`, which are processed one after another."""
    return [slice(start, min(start + size, channels)) for start in range(0, channels, size)]


def in_one_loop(*functions: hl.Func) -> None:
    """Schedule the interior and the edges of images in the same loops: half the code, which
    compiles in half the time."""
    for function in functions:
        function.never_partition_all()


class Pipeline:
    """A Halide pipeline for the processor at hand, compiled or loaded when it is first called.

    Called with the values of its arguments and with the output buffers. It releases Python's global
    lock while it computes, which Halide's own callables do not. It is loaded from disk where
    `midframe.ops.native_cache` can be used; otherwise it is compiled in memory, with the lock
    released, and runs one call at a time.

    Args:
        result: the function that is computed.
        arguments: its images and parameters, in the order in which values are given.
    """

    def __init__(self, result: hl.Func, *arguments: hl.ImageParam | hl.Param) -> None:
        self._result = result
        self._arguments = arguments
        self._lock = Lock()
        self._target = hl.get_jit_target_from_environment()
        self.identity: tuple[str, ...] | None = None
        """Key of the pipeline in the cache on disk; None to compile it in memory."""
        self._native: NativeFunction | None = None
        self._is_loaded = False

    def __call__(self, *values: Any) -> None:
        if (native := self._load()) is not None:
            native(*values)
        else:
            self._run_compiled(*values)

    def _load(self) -> NativeFunction | None:
        """Load the pipeline from disk, once; None if it is compiled in memory."""
        if not self._is_loaded:
            with self._lock:
                if not self._is_loaded and self.identity is not None:
                    self._native = load_pipeline(self.identity, self._result, self._arguments)
                self._is_loaded = True
        return self._native

    def _run_compiled(self, *values: Any) -> None:
        *given, target = values
        with self._lock:
            for argument, value in zip(self._arguments, given, strict=True):
                argument.set(value)
            self._result.realize(target, self._target)


_building = RLock()


def cached_pipeline(build: Callable[..., Pipeline]) -> Callable[..., Pipeline]:
    """Cache the pipeline that a function builds for each set of arguments; concurrent callers get
    the same one."""

    @cache
    def kept(*arguments: Any) -> Pipeline:
        pipeline = build(*arguments)
        if pipeline.identity is None:
            pipeline.identity = (build.__module__, build.__qualname__, repr(arguments))
        return pipeline

    @wraps(build)
    def get(*arguments: Any) -> Pipeline:
        with _building:
            return kept(*arguments)

    return get
