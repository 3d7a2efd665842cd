"""Rendered frames and sound, stand-ins for networks, and readers of results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from midframe.device_interpolator import DeviceInterpolator
from midframe.errors import MidframeError, VideoError
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.options import InterpolationOptions
from midframe.tensors import to_image, to_tensor
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]
Packets = Callable[[Path, str], list[tuple[Any, ...]]]
SHARED = Path(__file__).parents[3] / "shared" / "data"
"""Real input for tests, if it exists."""


def render_frame(
    time: float, height: int = 64, width: int = 96, scene: int = 0
) -> np.ndarray[Any, Any]:
    """A moving textured background and a disc that crosses it; `time` in frames."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    columns = columns - 2 * time
    waves = [
        np.sin(columns / (5 + scene + k) + k) * np.cos(rows / (4 + k + 2 * scene)) for k in range(3)
    ]
    image = np.stack([80 + 60 * wave + 90 * scene for wave in waves], axis=-1)
    disc = (rows - height / 2) ** 2 + (columns + 2 * time - 3 * time - 15) ** 2 < (height / 6) ** 2
    image[disc] = (240, 200, 40) if scene == 0 else (20, 60, 200)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def sine(seconds: Fraction) -> list[av.AudioFrame]:
    samples = int(seconds * 48000) // 1024 * 1024
    wave = np.sin(np.arange(samples) * 0.05).astype(np.float32) * 0.3
    chunks = []
    for start in range(0, samples, 1024):
        chunk = av.AudioFrame.from_ndarray(
            np.stack([wave[start : start + 1024]] * 2), format="fltp", layout="stereo"
        )
        chunk.sample_rate, chunk.pts = 48000, start
        chunks.append(chunk)
    return chunks


class Averager(Interpolator):
    """A stand-in for a network, in tests of the code around it."""

    depth = 4
    model: Any = None
    identity = "none"
    options = InterpolationOptions()

    def __init__(self, pairs: int = 1) -> None:
        self.pairs = pairs

    def pairs_at_once(self, height: int, width: int) -> int:
        return self.pairs

    @contextmanager
    def on_free_device(self) -> Iterator[DeviceInterpolator]:
        yield OfArrays(self)

    def interpolate_many(
        self, first: Array, second: Array, times: Any, *, progress: Any = None
    ) -> list[Array]:
        for fraction in (0.5, 1.0) if progress else ():
            progress(fraction)
        mixed = [first * float(1 - t) + second * float(t) for t in times]
        return [
            (each if first.dtype == np.float32 else np.rint(each)).astype(first.dtype)
            for each in mixed
        ]


class OfArrays(DeviceInterpolator):
    """Passes frames to `interpolate_many` of an `Averager`, as arrays of float32."""

    def __init__(self, inner: "Averager") -> None:
        self.inner = inner
        self.device = torch.device("cpu")

    def interpolate(
        self, first: Tensor, second: Tensor, times: Any, *, progress: Any = None
    ) -> list[Tensor]:
        arrays = [to_image(each, np.float32) for each in (first, second)]
        frames = self.inner.interpolate_many(*arrays, times, progress=progress)
        return [to_tensor(each) for each in frames]


class First(Averager):
    def interpolate_many(
        self, first: Array, second: Array, times: Any, *, progress: Any = None
    ) -> list[Array]:
        for fraction in (0.5, 1.0) if progress else ():
            progress(fraction)
        return [first for _ in times]


class Breaker(Averager):
    def interpolate_many(self, first: Array, second: Array, times: Any, **_: Any) -> list[Array]:
        raise MidframeError("the network broke")


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times_of(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames_of(path)]


def planes(frame: av.VideoFrame) -> list[np.ndarray[Any, Any]]:
    """The samples of each plane, float."""
    dtype = np.uint16 if max(part.bits for part in frame.format.components) > 8 else np.uint8
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    ]


def check_refused(
    source: Path, target: Path, complaint: str, error: type[Exception] = VideoError, **options: Any
) -> None:
    before = sorted(target.parent.iterdir()) if target.parent.is_dir() else None
    with pytest.raises(error, match=complaint) as caught:
        interpolate_video(source, target, model=Averager(), **options)
    assert "\n" not in str(caught.value)
    if before is not None:
        assert sorted(target.parent.iterdir()) == before
