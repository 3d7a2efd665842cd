"""Interpolator: from two frames of any size to the frames between them."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from queue import Queue

import numpy as np
import torch
from torch import Tensor

from midframe.device_interpolator import DeviceInterpolator, FractionProgress
from midframe.devices import choose_devices, choose_precision
from midframe.errors import OptionError
from midframe.media.pictures.images import Array
from midframe.models.checkpoint import channels_last
from midframe.models.ensemble import Ensemble
from midframe.models.function import FrameFunction, as_network
from midframe.models.network import Network
from midframe.options import EnsembleSize, InterpolationOptions, Precision
from midframe.tensors import check_frame, to_image, to_tensor

log = logging.getLogger(__name__)

MAX_FLOAT = 4.0
"""Frames of float32 are nominally from 0 to 1; a larger magnitude indicates a frame from 0 to 255,
which is refused, as are samples that are not finite: one would spread over the whole frame."""
PAIRS_PER_CARD = 3
"""Pairs of frames in progress on a GPU: while the network runs for one, the frames of
others are converted."""


class Interpolator:
    """Interpolates between two frames; holds the network, so that its weights load once.

    Args:
        model: the name or file of weights, a network, or a function or module of your own,
            `f(first, second)` or `f(first, second, t)`, that takes frames (N, 3, H, W) in [0, 1]
            and returns one (see `FrameFunction`). It is called for whole frames, in float32 unless
            `precision` is given.
        device, tile, scale, ensemble, precision, depth: as in `InterpolationOptions`.
        single_pair: only one pair of frames will be interpolated. On the CPU, a network then uses
            the PyTorch implementations where compiling the faster ones would take longer.

    Raises:
        OptionError: an option has a value that it cannot have, or the device is not available.
        ValueError: `model` is nothing of the above.
        CheckpointError: the weights cannot be loaded.

    Examples:
        >>> import numpy as np
        >>> interpolator = Interpolator("flowsep", device="cpu")
        >>> black = np.zeros((40, 60, 3), np.uint8)
        >>> interpolator.interpolate(black, black).shape
        (40, 60, 3)
    """

    def __init__(
        self,
        model: Network | FrameFunction | str | Path = InterpolationOptions.model,
        *,
        device: str | torch.device = InterpolationOptions.device,
        tile: int | None = InterpolationOptions.tile,
        scale: int | None = InterpolationOptions.scale,
        ensemble: EnsembleSize = InterpolationOptions.ensemble,
        precision: Precision = InterpolationOptions.precision,
        depth: int = InterpolationOptions.depth,
        single_pair: bool = False,
    ) -> None:
        self.options = InterpolationOptions(
            str(model) if isinstance(model, str | Path) else type(model).__name__,
            device=str(device),
            tile=tile,
            scale=scale,
            ensemble=ensemble,
            precision=precision,
            depth=depth,
        )
        use_existing_threads()
        devices = choose_devices(self.options.device)
        self.device = devices[0]
        """The first device."""
        network = as_network(model)
        exact = precision == "auto" and not network.approximate_inference
        self.precision = choose_precision("float32" if exact else precision, self.device)
        if scale is not None:
            _check_scale(scale, network)
        self._replicas = [
            DeviceInterpolator(
                _for_inference(network, self.precision, each, scale, ensemble),
                each,
                tile=network.tile if tile is None else tile,
                depth=None if network.any_time else depth,
                single_pair=single_pair,
            )
            for each in devices
        ]
        self._free = Queue[DeviceInterpolator]()
        """Several devices: those that have less than `PAIRS_PER_CARD` pairs, once for each."""
        for replica in self._replicas * PAIRS_PER_CARD:
            self._free.put(replica)
        log.info(
            "%s on %s in %s",
            self.options.model,
            ", ".join(map(str, devices)),
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
    def model(self) -> Network:
        """Return the network on the first device."""
        return self._replicas[0].model

    @property
    def depth(self) -> int | None:
        """Return how many times the interval between two frames is halved at most; None if the
        network supports any time."""
        return self._replicas[0].depth

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
        if self.device.type == "cpu" and len(self._replicas) == 1:
            return min(torch.get_num_threads(), self.model.pairs_at_once(height, width))
        if self.device.type == "mps":
            return 1
        return min(torch.get_num_threads(), PAIRS_PER_CARD * len(self._replicas))

    @contextmanager
    def on_free_device(self) -> Iterator[DeviceInterpolator]:
        """Reserve a device for a pair of frames, and wait for one if there are several and all are
        in use; a context."""
        use_existing_threads()
        if len(self._replicas) == 1:
            yield self._replicas[0]
            return
        replica = self._free.get()
        try:
            yield replica
        finally:
            self._free.put(replica)

    def __reduce__(self) -> str:
        """Raise a TypeError: an interpolator holds locks and compiled code."""
        raise TypeError("an Interpolator cannot be pickled: create one in each process")

    def interpolate(
        self,
        first: Array,
        second: Array,
        time: float | Fraction = Fraction(1, 2),
        *,
        progress: FractionProgress | None = None,
    ) -> Array:
        """Interpolate the frame at one time between two frames; see `interpolate_many`."""
        return self.interpolate_many(first, second, [time], progress=progress)[0]

    def interpolate_many(
        self,
        first: Array,
        second: Array,
        times: Sequence[float | Fraction],
        *,
        progress: FractionProgress | None = None,
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
        if isinstance(times, (int, float, Fraction, str)):
            raise ValueError(f"`times` is {times}: a sequence is needed, as in [{times}]")
        with self.on_free_device() as here:
            before = to_tensor(first, here.device)
            after = to_tensor(second, here.device)
            frames = here.interpolate(before, after, times, progress=progress)
            return [to_image(each, first.dtype) for each in frames]

    def middle(
        self, first: Tensor, second: Tensor, progress: FractionProgress | None = None
    ) -> Tensor:
        """See `DeviceInterpolator.middle`."""
        return self._replicas[0].middle(first, second, progress)


_processes: set[int] = set()
"""The process that computes; after a fork also the one that it was forked from."""


def use_existing_threads() -> None:
    """Use one thread in a process that was forked from one that computed: PyTorch's other threads
    do not exist there, and it would wait for them without end."""
    process = os.getpid()
    if process in _processes:
        return
    if _processes:
        torch.set_num_threads(1)
        log.warning(
            "this process was forked from one that computed, so it uses one thread: start "
            "processes by the method spawn to use more"
        )
    _processes.add(process)


def _for_inference(
    network: Network,
    precision: torch.dtype,
    device: torch.device,
    scale: int | None,
    ensemble: EnsembleSize,
) -> Network:
    """Return a copy of a network for inference on a device."""
    ready: Network = channels_last(network.for_inference(precision).to(device))
    if scale is not None:
        ready.scale = scale
    return ready if ensemble == 1 else Ensemble(ready, ensemble)


def _check_scale(scale: int, network: Network) -> None:
    if scale > 1 and network.scale == 1:
        name = type(network).__name__
        raise OptionError(
            f"`scale` is {scale}: {name} processes frames at full resolution only, drop `scale`"
        )


def check_pair(first: Array, second: Array) -> None:
    """Raise a ValueError with both shapes and types unless two frames can be interpolated."""
    if not (isinstance(first, np.ndarray) and isinstance(second, np.ndarray)):
        raise ValueError(
            f"frames must be NumPy arrays, got {type(first).__name__} and {type(second).__name__}: "
            "np.asarray(Image.open(name)) reads one with Pillow"
        )
    given = f"{first.shape} of {first.dtype} and {second.shape} of {second.dtype}"
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(f"both frames must have one size and type, got {given}")
    check_frame(first)
    for frame in (first, second) if first.dtype == np.float32 else ():
        largest = np.abs(frame).max()  # NaN if any sample is
        if not largest <= MAX_FLOAT:
            raise ValueError(f"frames of float32 must be nominally from 0 to 1, got {largest}")
