"""How fast a GPU interpolates, beside what bytes and operations allow at least.

python benchmarks/cuda.py [--model flowsep ...] [--sizes 1280x720 1920x1080 3840x2160]
    [--frames 40] [--no-files] [--device cuda]

For each network and size: milliseconds from arrays to array, and with the frames on the card;
kernels launched for a frame, and the fraction of the time in which the card is busy (both from
PyTorch's profiler); the peak memory; the floor, which is the larger of the network's operations at
the rate of a large matrix product and the frames' bytes at the rate of a copy, both measured first.
Then frames per second from file to file (H.264, preset ultrafast), beside the same work with copied
frames instead of interpolated ones, which is what the processor's part alone takes. Two minutes on
an H100. It runs on a CPU too, where kernels, busy time and memory are not measured.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from midframe.device_interpolator import DeviceInterpolator
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.models.checkpoint import load_model
from midframe.speeds import make_frames
from midframe.tensors import to_tensor
from midframe.video.pipeline import interpolate_video

ROUNDS = 10
PRODUCT = 8192
"""Side of the matrices whose product gives the rate of operations; a CPU takes smaller ones."""
COPY_BYTES = 2**30
HALF = Fraction(1, 2)


class Copying(Interpolator):
    """Copies the first frame instead of interpolating, on the same device."""

    @contextmanager
    def on_free_device(self) -> Iterator[DeviceInterpolator]:
        """See `Interpolator`."""
        with super().on_free_device() as here:
            yield _Copying(here.model, here.device, tile=0, depth=None)


class _Copying(DeviceInterpolator):
    def interpolate(
        self, first: Tensor, second: Tensor, times: Sequence[float | Fraction], **_: Any
    ) -> list[Tensor]:
        return [first for _ in times]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(work: Callable[[], object], device: torch.device, rounds: int = ROUNDS) -> float:
    """Return the median time of some work, after three calls that compile, tune and capture."""
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return 1000 * sorted(times)[rounds // 2]


def measure_rates(device: torch.device, precision: torch.dtype) -> tuple[float, float]:
    """Return multiply-adds per second of a matrix product, and bytes per second of a copy (read and
    written)."""
    side = PRODUCT if device.type == "cuda" else PRODUCT // 8
    matrix = torch.randn(side, side, device=device).to(precision)
    product = milliseconds(lambda: matrix @ matrix, device) / 1000
    count = COPY_BYTES if device.type == "cuda" else COPY_BYTES // 16
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = milliseconds(lambda: target.copy_(source), device) / 1000
    return side**3 / product, 2 * count / copy


def multiplies(model: str, first: Array, second: Array) -> float:
    """Return the multiply-adds of the convolutions of a network for one frame, as PyTorch counts
    them in its plain implementation at 1/4 of each side, times 16."""
    small = [to_tensor(each[::4, ::4].copy()) for each in (first, second)]
    network = load_model(model)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*small)
    return 8.0 * int(counter.get_total_flops())


def profile(work: Callable[[], object]) -> tuple[int, float]:
    """Return the number of kernels of some work on a card, and the milliseconds in which they
    run."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        work()
        torch.cuda.synchronize()
    kernels = [
        each for each in found.events() if each.device_type == torch.profiler.DeviceType.CUDA
    ]
    return len(kernels), sum(each.self_device_time_total for each in kernels) / 1000


def report(interpolator: Interpolator, model: str, first: Array, second: Array, rates: Any) -> None:
    """Print the line of a network and a size."""
    device = interpolator.device
    arrays = milliseconds(lambda: interpolator.interpolate(first, second), device)
    with interpolator.on_free_device() as here:
        tensors = [to_tensor(each, device) for each in (first, second)]

        def on_card() -> object:
            return here.interpolate(tensors[0], tensors[1], [HALF])

        inside = milliseconds(on_card, device)
        operations = 1000 * multiplies(model, first, second) / rates[0]
        moved = 1000 * 3 * 2 * first.size / rates[1]  # three frames, in two bytes a sample
        line = (
            f"{first.shape[1]}x{first.shape[0]}: arrays {arrays:.2f} ms, on the device "
            f"{inside:.2f} ms, floor {max(operations, moved):.2f} ms "
            f"(operations {operations:.2f}, bytes {moved:.2f})"
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            kernels, busy = profile(on_card)
            peak = torch.cuda.max_memory_allocated(device) / 2**30
            line += f", {kernels} kernels, busy {busy / inside:.0%}, {peak:.2f} GiB"
    print(line, flush=True)


def write_clip(path: Path, first: Array, second: Array, count: int) -> None:
    """Write a clip that shows two frames in turns, which encodes with some motion."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 30, options={"preset": "ultrafast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray((first, second)[number % 2], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def report_files(model: str, device: str, first: Array, second: Array, frames: int) -> None:
    """Print frames per second from file to file, and with copied frames."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        write_clip(source, first, second, frames)
        rates = {}
        for name, kind in (("interpolated", Interpolator), ("copied", Copying)):
            interpolator = kind(model, device=device)
            for _ in range(2):  # the first one compiles
                begin = time.perf_counter()
                result = interpolate_video(
                    source,
                    Path(folder) / "result.mp4",
                    model=interpolator,
                    preset="ultrafast",
                    cut_threshold=100,
                    overwrite=True,
                )
                rates[name] = result.frames_out / (time.perf_counter() - begin)
    both = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
    print(
        f"{first.shape[1]}x{first.shape[0]} from file to file, frames per second: {both} "
        f"({rates['interpolated'] / rates['copied']:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", nargs="+", default=["flowsep", "sepconv"])
    parser.add_argument("--sizes", nargs="+", default=["1280x720", "1920x1080", "3840x2160"])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--no-files", action="store_true")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    for model in given.model:
        interpolator = Interpolator(model, device=given.device)
        rates = measure_rates(interpolator.device, interpolator.precision)
        print(
            f"{model} on {interpolator.device} in {interpolator.precision}: "
            f"{rates[0] / 1e12:.2f} T multiply-adds per second, {rates[1] / 1e9:.0f} GB per second"
        )
        for size in given.sizes:
            width, height = map(int, size.split("x"))
            frames = make_frames(height, width)
            report(interpolator, model, *frames, rates)
            if not given.no_files:
                report_files(model, given.device, *frames, given.frames)


if __name__ == "__main__":
    main()
