"""The loaded network, its measured speed, and its newest frame."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from midframe.device_interpolator import DeviceInterpolator, FractionProgress
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.speeds import ESTIMATE_SECONDS, make_frames, measure_rate
from midframe.tensors import to_image

MAX_MEASURED_PIXELS = 640 * 360
"""Maximum number of pixels of the frames that speed is measured with; the speed at larger sizes is
extrapolated."""
THUMBNAIL = 480
"""Longer side of a preview in pixels."""
SHOW_SECONDS = 0.5
"""Seconds between two previews."""
LoadNetwork = Callable[[str], Interpolator]


class Networks:
    """Caches the last used network, and the speeds of all measured ones.

    Args:
        load: loads a network by its name.
    """

    def __init__(self, load: LoadNetwork) -> None:
        self._load = load
        self._name = ""
        self._tool: Interpolator | None = None
        self._speeds: dict[str, float] = {}
        """Seconds per pixel, by the name of the network."""

    def get(self, name: str) -> Interpolator:
        """Return a network. Not thread-safe: call it only from jobs, which run one at a time."""
        if self._tool is None or name != self._name:
            self._tool = None  # frees its memory before the next is loaded
            self._tool = self._load(name)
            self._name = name
        return self._tool

    def measure(
        self, name: str, width: int, height: int, check: Callable[[], None] = lambda: None
    ) -> float:
        """Measure the seconds per frame of a network. Call it only from jobs, as `get`.

        Args:
            name: of the network.
            width, height: of the frames.
            check: called for every frame and tile; may raise to stop the work.
        """
        factor = min(1.0, math.sqrt(MAX_MEASURED_PIXELS / (width * height)))
        size = max(16, round(height * factor)), max(16, round(width * factor))
        watched = WatchedInterpolator(self.get(name), lambda _: None, check)
        seconds = 1 / measure_rate(watched, *make_frames(*size), ESTIMATE_SECONDS)
        self._speeds[name] = seconds / (size[0] * size[1])
        return self._speeds[name] * width * height

    def seconds(self, name: str, width: int, height: int) -> float | None:
        """Return the seconds per frame of a network, estimated from its last measurement; None if
        there was none."""
        speed = self._speeds.get(name)
        return None if speed is None else speed * width * height


class WatchedInterpolator(Interpolator):
    """Wraps an interpolator: shows previews of the newest frame, and can stop the work.

    Args:
        interpolator: for the frames between source frames.
        show: called with a preview as JPEG, at most twice per second; may raise to stop the work.
        check: called for every frame; may raise to stop the work.
    """

    def __init__(
        self, interpolator: Interpolator, show: Callable[[bytes], None], check: Callable[[], None]
    ) -> None:
        self.interpolator = interpolator
        self.options = interpolator.options
        self.show = show
        self.check = check
        self._shown = -math.inf

    @property
    def depth(self) -> int | None:
        """See `Interpolator`."""
        return self.interpolator.depth

    @property
    def identity(self) -> str:
        """See `Interpolator`."""
        return self.interpolator.identity

    def pairs_at_once(self, height: int, width: int) -> int:
        """See `Interpolator`."""
        return self.interpolator.pairs_at_once(height, width)

    @contextmanager
    def on_free_device(self) -> Iterator[DeviceInterpolator]:
        """See `Interpolator`."""
        with self.interpolator.on_free_device() as device_interpolator:
            yield WatchedDeviceInterpolator(device_interpolator, self)

    def show_one(self, frames: Sequence[Tensor]) -> None:
        """Show a preview of some frames, if the last one is old enough."""
        now = time.monotonic()
        if frames and now - self._shown >= SHOW_SECONDS:
            self._shown = now
            self.show(thumbnail(to_image(frames[len(frames) // 2], np.float32)))


class WatchedDeviceInterpolator(DeviceInterpolator):
    """The interpolator of one device of a `WatchedInterpolator`."""

    def __init__(self, inner: DeviceInterpolator, watcher: WatchedInterpolator) -> None:
        self.inner = inner
        self.device = inner.device
        self.watcher = watcher

    def interpolate(
        self,
        first: Tensor,
        second: Tensor,
        times: Sequence[float | Fraction],
        *,
        progress: FractionProgress | None = None,
    ) -> list[Tensor]:
        """See `DeviceInterpolator`."""

        def report(fraction: float) -> None:
            self.watcher.check()
            if progress:
                progress(fraction)

        self.watcher.check()
        frames = self.inner.interpolate(first, second, times, progress=report)
        self.watcher.show_one(frames)
        return frames


def thumbnail(frame: Array, longest: int = THUMBNAIL, quality: int = 80) -> bytes:
    """Return a frame (H, W, 3) or (H, W, 4) of any type as a small JPEG."""
    step = max(1, max(frame.shape[:2]) // (2 * longest))
    image = Image.fromarray(to_bytes(frame[::step, ::step, :3]))
    image.thumbnail((longest, longest))
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def to_bytes(frame: Any) -> Array:
    """Return a frame of uint8, uint16 or float32 as uint8."""
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    peak = np.iinfo(frame.dtype).max if frame.dtype == np.uint16 else 1.0
    scaled: Array = np.rint(np.clip(frame / peak, 0, 1) * 255).astype(np.uint8)
    return scaled
