"""The separable operator on this processor, beside the network that it serves and the processor's
limit.

    python benchmarks/ops.py

Everything is timed in one run, in turns, and the fastest of each is taken: other work on the
machine only adds.
"""

import time
from collections.abc import Callable

import halide as hl
import torch

from midframe.models.checkpoint import channels_last
from midframe.models.sepconv import SepConv, SepConvConfig
from midframe.ops.halide_tools import LANES
from midframe.ops.separable import halide, reference
from midframe.processor import has_bfloat16_instructions

HEIGHT, WIDTH, TAPS, COLOURS = 256, 448, 51, 3
ROUNDS = 12
MULTIPLIES = 2 * HEIGHT * WIDTH * TAPS * TAPS * COLOURS
"""Of both frames, forward: the sums over i and j of every colour of every pixel."""


def fastest(works: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of the fastest run of each piece of work, all of them in turns."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def peak_multiplies() -> Callable[[], object]:
    """Sums in registers that touch no memory: as many fused multiply-adds a second as the processor
    can do."""
    x, lane, task = hl.Var("x"), hl.Var("lane"), hl.Var("task")
    steps = hl.RDom([(0, PEAK_STEPS)])
    loop, result = hl.Func("loop"), hl.Func("result")
    loop[x, lane] = hl.f32(x + lane)
    loop[x, lane] = loop[x, lane] * hl.f32(0.999) + hl.f32(steps.x)
    result[x, lane, task] = loop[x, lane]
    result.bound(x, 0, LANES).bound(lane, 0, PEAK_CHAINS).vectorize(x).unroll(lane).parallel(task)
    loop.compute_at(result, task).vectorize(x, LANES).unroll(lane)
    loop.update(0).reorder(x, lane, steps.x).vectorize(x, LANES).unroll(lane)
    run = result.compile_to_callable([], hl.get_jit_target_from_environment())
    buffer = hl.Buffer(hl.Float(32), [LANES, PEAK_CHAINS, PEAK_TASKS])
    return lambda: run(buffer)


PEAK_STEPS, PEAK_CHAINS, PEAK_TASKS = 20000, 12, 64
PEAK_WORK = PEAK_STEPS * PEAK_CHAINS * PEAK_TASKS * LANES


@torch.no_grad()
def main() -> None:
    """Print the table."""
    half = torch.bfloat16 if has_bfloat16_instructions() else torch.float32
    network = channels_last(SepConv(SepConvConfig(paper=True)).to(half)).eval()
    pair = torch.rand(2, 1, COLOURS, HEIGHT, WIDTH)
    frames = torch.rand(2, 1, COLOURS, HEIGHT + TAPS - 1, WIDTH + TAPS - 1)
    kernels = torch.randn(2, 2, 1, TAPS, HEIGHT, WIDTH)
    rounded = kernels.bfloat16()
    gradient = torch.randn(1, COLOURS, HEIGHT, WIDTH)

    works: dict[str, Callable[[], object]] = {
        "peak": peak_multiplies(),
        f"network forward, {half}": lambda: network.kernels(pair[0], pair[1]),
        "forward, float32 kernels": lambda: [
            halide.separable_forward(frames[n], *kernels[n]) for n in (0, 1)
        ],
        "forward, bfloat16 kernels": lambda: [
            halide.separable_forward(frames[n], *rounded[n]) for n in (0, 1)
        ],
        "gradients of kernels": lambda: [
            halide.separable_kernel_gradients(gradient, frames[n], *kernels[n]) for n in (0, 1)
        ],
        "gradient of frames": lambda: [
            halide.separable_frame_gradient(gradient, frames[n], *kernels[n]) for n in (0, 1)
        ],
    }
    seconds = fastest(works)
    plain = fastest(
        {"plain": lambda: [reference.separable_forward(frames[n], *kernels[n]) for n in (0, 1)]},
        rounds=1,
    )
    seconds["forward, plain PyTorch"] = plain["plain"]

    peak = PEAK_WORK / seconds.pop("peak")
    forward, whole = seconds["forward, float32 kernels"], seconds[f"network forward, {half}"]
    print(
        f"{WIDTH}x{HEIGHT}, {TAPS} taps, both frames; {torch.get_num_threads()} threads; peak "
        f"{peak / 1e9:.0f} GMAC/s"
    )
    print(f"{'':28}{'ms':>8}{'of network':>12}{'of forward':>12}{'GMAC/s':>9}{'of peak':>9}")
    for name, taken in seconds.items():
        rate = MULTIPLIES / taken
        share = f"{rate / 1e9:9.1f}{rate / peak:9.0%}" if name.startswith("forward") else ""
        print(f"{name:28}{taken * 1e3:8.1f}{taken / whole:12.2f}{taken / forward:12.2f}{share}")


if __name__ == "__main__":
    main()
