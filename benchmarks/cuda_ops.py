"""FlowSep's own steps on a GPU: time of the Triton kernels, of plain PyTorch, and the
floor set by memory.

python benchmarks/cuda_ops.py

Sizes are those of training, 64 crops of 192 pixels in bfloat16; without gradients, those of a frame
of 1920x1080. The floor is the time in which the card's memory moves all that is read and written
once. Needs only torch and Triton beside this project's sources: `PYTHONPATH=src` is enough.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps import ReferenceSteps
from midframe.models.flowsep.steps.triton import TritonSteps
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.flow_separable.reference import flow_separable_by_sampling

FAST, PLAIN = TritonSteps(), ReferenceSteps()

SAMPLES, CROP, INNER = 64, 192, 160
"""Crops of a batch, their side, and the side of what the loss is computed on."""
WIDTHS, HIDDEN, RADII = (32, 48, 96, 144), (32, 64, 112, 160), (0, 3, 4, 4)
TAPS, DISTANCE, DOMINANT_MOTIONS = 5, 4, 3
BANDWIDTH = 3.0e12
"""Of the memory of an H100, in bytes a second."""
WARMUP, REPETITIONS = 5, 25
"""Milliseconds that an operator is run before it is timed, and timed."""

Operator = Callable[..., Tensor]


def size_of(tensors: Sequence[Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of a call."""
    return float(
        triton.testing.do_bench(work, warmup=WARMUP, rep=REPETITIONS, return_mode="median")
    )


def time_of(operator: Operator, given: Sequence[Tensor]) -> tuple[float, float]:
    """Return the times of the forward and, where gradients are wanted, of the backward pass."""
    with torch.no_grad():
        forward = milliseconds(partial(operator, *given))
    wanted = [tensor for tensor in given if tensor.requires_grad]
    if not wanted:
        return forward, 0.0
    result = operator(*given)
    outer = torch.randn_like(result)
    return forward, milliseconds(
        lambda: torch.autograd.grad(result, wanted, outer, retain_graph=True)
    )


def report(name: str, operator: Operator, plain: Operator, given: Sequence[Tensor]) -> None:
    """Print the row of one operator."""
    with torch.no_grad():
        result = operator(*given)
    wanted = [tensor for tensor in given if tensor.requires_grad]
    floors = size_of([*given, result]), size_of([*given, *wanted, result]) if wanted else 0
    times = zip(time_of(operator, given), floors, time_of(plain, given), strict=True)
    cells = [
        f"{fast:8.3f} {1e3 * floor / BANDWIDTH:7.3f} {slow:8.3f}" for fast, floor, slow in times
    ]
    print(f"{name:34}", *cells[: 2 if wanted else 1], sep=" |", flush=True)


def decoder_inputs(level: int) -> list[Tensor]:
    """Return features, carried features (but for the coarsest level), flow and time."""
    size, carried = CROP >> (level + 1), [*HIDDEN, 0][level + 1]
    samples = SAMPLES * (
        2 if level == len(WIDTHS) - 1 else 1
    )  # the coarsest level reads both orders
    features = torch.randn(
        2 * samples, WIDTHS[level], size, size, device="cuda", dtype=torch.bfloat16
    )
    before = torch.randn(
        samples, carried, size // 2, size // 2, device="cuda", dtype=torch.bfloat16
    )
    images = [features, before] if carried else [features]
    images = [
        each.contiguous(memory_format=torch.channels_last).requires_grad_() for each in images
    ]
    flow = (torch.randn(samples, 4, size, size, device="cuda") * 3).requires_grad_()
    return [*images, flow, torch.rand(samples, 1, 1, 1, device="cuda")]


def decoder_input(
    form: Callable[..., Tensor], radius: int, features: Tensor, *others: Tensor
) -> Tensor:
    *carried, flow, time = others
    return form(features, carried[0] if carried else None, flow, time, radius)


def report_inference() -> None:
    """Print the rows of the steps that have Triton kernels without gradients only."""
    height, width, scale = 1088, 1920, 2  # what is read is a multiple of 16 times the scale
    frames = torch.rand(2, 1, 3, height, width, device="cuda").unbind()
    size = height // (2 * scale), width // (2 * scale)
    first, second = (functional.interpolate(frame, size) for frame in frames)
    outputs = (
        torch.randn(1, FieldLayout(TAPS).channels, *size, device="cuda", dtype=torch.float16) / 8
    )
    outputs = outputs.contiguous(memory_format=torch.channels_last)
    flow, time = (
        torch.randn(1, 4, *size, device="cuda") * 3,
        torch.full((1, 1, 1, 1), 0.5, device="cuda"),
    )
    fields = FAST.decode_outputs(outputs, flow, time, True)
    fast, plain = (
        partial(FAST.decode_outputs, normalise=True),
        partial(PLAIN.decode_outputs, normalise=True),
    )
    report("fields", fast, plain, (outputs, flow, time))
    fast, plain = partial(FAST.downsample, factor=scale), partial(PLAIN.downsample, factor=scale)
    report("downsampling", fast, plain, frames[:1])
    report("alignment", FAST.alignment, PLAIN.alignment, (first, second, fields))
    more: dict[str, Any] = {
        "factor": 2 * scale,
        "rows": slice(0, 1080),
        "columns": slice(0, width),
        "deviation": time,
    }
    fast, plain = partial(FAST.synthesise, **more), partial(PLAIN.synthesise, **more)
    report("synthesis", fast, plain, (*frames, fields))


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, triton {triton.__version__}, {torch.cuda.get_device_name()}")
    columns = "time   floor    plain"
    print(f"{'milliseconds':34} | forward {columns} | backward {columns}")
    for level, radius in enumerate(RADII):
        fast = partial(decoder_input, partial(FAST.decoder_input, multiple=8), radius)
        plain = partial(decoder_input, PLAIN.decoder_input, radius)
        report(f"input of level {level}, radius {radius}", fast, plain, decoder_inputs(level))
    size = CROP // 2
    first, second = torch.rand(2, SAMPLES, 3, size, size, device="cuda")
    flow = (torch.randn(SAMPLES, 4, size, size, device="cuda") * 3).requires_grad_()
    time = torch.full((SAMPLES, 1, 1, 1), 0.5, device="cuda")
    for count in (0, DOMINANT_MOTIONS):
        fast, plain = (
            partial(steps.propagate_flow, t=time, distance=DISTANCE, dominant_motions=count)
            for steps in (FAST, PLAIN)
        )
        report(f"flow propagation, {count} motions", fast, plain, (first, second, flow))
    frame = torch.rand(SAMPLES, 3, CROP, CROP, device="cuda")
    flow = (torch.randn(SAMPLES, 2, INNER, INNER, device="cuda") * 4).requires_grad_()
    kernels = [
        torch.randn(SAMPLES, TAPS, INNER, INNER, device="cuda").requires_grad_() for _ in range(2)
    ]
    given = (frame, flow, *kernels)
    report(
        "separable convolution along a flow",
        flow_separable_convolution,
        flow_separable_by_sampling,
        given,
    )
    with torch.no_grad():
        report_inference()


if __name__ == "__main__":
    main()
