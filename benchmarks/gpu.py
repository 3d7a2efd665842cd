"""The Triton operators on a GPU beside the plain ways: time, memory, how far apart
results and gradients lie.

python benchmarks/gpu.py

Plain is im2col (`unfold` and `einsum`); for flow, one sampling of the frame for all taps. All in
float32, without TensorFloat-32. Needs only torch and Triton beside this project's sources:
`PYTHONPATH=src` is enough.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.adaptive import adaptive_convolution
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.flow_separable.reference import flow_separable_by_sampling
from midframe.ops.resampling import RESAMPLINGS
from midframe.ops.separable import separable_convolution

Operator = Callable[..., Tensor]

TAPS = 51
ADAPTIVE_TAPS = 41
FLOW_TAPS = 5
ROUNDS = 10


def separable_by_im2col(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    count, taps, height, width = vertical.shape
    seen = functional.unfold(frame, taps).view(count, frame.shape[1], taps, taps, height, width)
    return torch.einsum("ncijhw,nihw,njhw->nchw", seen, vertical, horizontal)


def adaptive_by_im2col(frames: Tensor, kernels: Tensor) -> Tensor:
    count, several, taps, _, height, width = kernels.shape
    seen = functional.unfold(frames.flatten(1, 2), taps).view(
        count, several, -1, taps, taps, height, width
    )
    return torch.einsum("nfcijhw,nfijhw->nchw", seen, kernels)


def with_gradients(operator: Operator, *given: Tensor) -> list[Tensor]:
    """The result and the gradients, of half the sum of its squares, of all that is given."""
    result = operator(*given)
    return [result.detach(), *torch.autograd.grad(result, given, result.detach())]


def apart(found: list[Tensor], plain: list[Tensor]) -> str:
    """The largest difference of each, as a share of the largest value."""
    return ", ".join(
        f"{float((a - b).abs().max() / b.abs().max()):.0e}"
        for a, b in zip(found, plain, strict=True)
    )


def measured(work: Callable[[], object]) -> str:
    """Mean time of a call, and the memory that it needs beside what was there before."""
    work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    begin, end = (torch.Event("cuda", enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(ROUNDS):
        work()
    end.record()
    torch.cuda.synchronize()
    memory = (torch.cuda.max_memory_allocated() - before) / 2**20
    return f"{begin.elapsed_time(end) / ROUNDS:8.2f} ms {memory:6.0f} MiB"


def compare(name: str, operator: Operator, plain: Operator, *given: Tensor) -> None:
    """Print the rows of one operator at one size."""
    given = tuple(each.requires_grad_() for each in given)
    print(f"{name}: apart {apart(with_gradients(operator, *given), with_gradients(plain, *given))}")
    for way, work in (("Triton", operator), ("plain", plain)):
        with torch.no_grad():
            forward = measured(partial(work, *given))
        both = measured(partial(with_gradients, work, *given))
        print(f"  {way:7} forward {forward}   and gradients {both}", flush=True)


def flow_between_pixels(height: int, width: int, device: str) -> Tensor:
    """Some flow (1, 2, H, W) that leads nowhere near a whole pixel.

    There its gradient has a step, and rounding chooses the side.
    """
    whole = (torch.randn(1, 2, height, width, device=device) * 5).floor()
    return whole + 0.1 + 0.8 * torch.rand_like(whole)


def main() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    device = "cuda"
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    for height, width in ((128, 128), (256, 448)):
        kernels = (torch.randn(1, TAPS, height, width, device=device) / TAPS for _ in range(2))
        frame = torch.rand(1, 3, height + TAPS - 1, width + TAPS - 1, device=device)
        compare(
            f"separable {width}x{height}",
            separable_convolution,
            separable_by_im2col,
            frame,
            *kernels,
        )

    size = 64
    frames = torch.rand(1, 2, 3, size + ADAPTIVE_TAPS - 1, size + ADAPTIVE_TAPS - 1, device=device)
    weights = torch.softmax(torch.randn(1, 2 * ADAPTIVE_TAPS**2, size, size, device=device), 1)
    weights = weights.view(1, 2, ADAPTIVE_TAPS, ADAPTIVE_TAPS, size, size)
    compare(f"adaptive {size}x{size}", adaptive_convolution, adaptive_by_im2col, frames, weights)

    height, width = 256, 448
    frame, flow = (
        torch.rand(1, 3, height, width, device=device),
        flow_between_pixels(height, width, device),
    )
    kernels = (torch.randn(1, FLOW_TAPS, height, width, device=device) for _ in range(2))
    given = (frame, flow, *kernels)
    for resampling in RESAMPLINGS:
        fast, plain = (
            partial(operator, resampling=resampling)
            for operator in (flow_separable_convolution, flow_separable_by_sampling)
        )
        compare(f"flow-separable {resampling} {width}x{height}", fast, plain, *given)


if __name__ == "__main__":
    main()
