"""Compile every CUDA kernel that the operators launch for several GPU generations, without a GPU.

`ops/test_cuda_kernels.py` runs this in a separate process, since Triton's interpreter is selected
when Triton is imported. Prints a line of JSON for each kernel and generation: its name, its
argument types, and the bytes of shared memory of a thread block.
"""

import json
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from midframe.models.flowsep.steps.alignment import triton as alignment
from midframe.models.flowsep.steps.decoder_input import triton as decoder_input
from midframe.models.flowsep.steps.downsampling import triton as downsampling
from midframe.models.flowsep.steps.fields import triton as fields_step
from midframe.models.flowsep.steps.propagation import dominant_motions_triton
from midframe.models.flowsep.steps.propagation import triton as propagation
from midframe.models.flowsep.steps.synthesis import triton as synthesis
from midframe.ops.activation import triton as activation
from midframe.ops.adaptive import triton as adaptive
from midframe.ops.flow_separable import triton as flow_separable
from midframe.ops.resampling import RESAMPLINGS
from midframe.ops.separable import triton as separable
from midframe.training.on_device import cutting_cuda
from midframe.training.on_device.cutting import CropPositions

GENERATIONS = {75: "Turing", 80: "Ampere", 90: "Hopper"}
WARP = 32
OPTIONS = ("num_warps", "num_stages")
POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int8: "*i8",
    torch.uint8: "*u8",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


def main() -> None:
    JITFunction.run = compile_for_generations
    for kernels in (torch.float32, torch.float16, torch.bfloat16):
        launch_separable(kernels)
        launch_inference(kernels)
        launch_alignment(kernels, 48, 64, radius=3)
        for resampling in RESAMPLINGS:
            launch_flow_separable(kernels, resampling)
    launch_alignment(torch.float32, 160, 0, radius=4)
    launch_alignment(torch.float16, 16, 32, radius=0)
    launch_adaptive()
    launch_propagation()
    launch_activation()
    launch_cutting()


def compile_for_generations(
    kernel: Any, *inputs: Any, grid: Any, warmup: bool, **keywords: Any
) -> None:
    """Compile a kernel for all generations instead of launching it."""
    values = {**dict(zip(kernel.arg_names, inputs, strict=False)), **keywords}
    fixed = {each.name for each in kernel.params if each.is_constexpr}
    types = {
        name: "constexpr" if name in fixed else _type(values[name]) for name in kernel.arg_names
    }
    constants = {(kernel.arg_names.index(name),): values[name] for name in fixed}
    options = {name: keywords[name] for name in OPTIONS if name in keywords}
    for generation in GENERATIONS:
        target = GPUTarget("cuda", generation, WARP)
        compiled = triton.compile(
            ASTSource(kernel, types, constexprs=constants), target=target, options=options
        )
        entry = {"kernel": f"{kernel.__module__}.{kernel.__name__}", "generation": generation}
        print(
            json.dumps({**entry, "types": list(types.values()), "shared": compiled.metadata.shared})
        )


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return POINTERS[value.dtype]
    return "fp32" if isinstance(value, float) else "i32"


def launch_separable(kernel_type: torch.dtype) -> None:
    frame, gradient, kernels = (
        torch.rand(1, 3, 58, 58),
        torch.rand(1, 3, 8, 8),
        torch.rand(2, 1, 51, 8, 8),
    )
    kernels = kernels.to(kernel_type)
    separable.separable_forward(frame, *kernels)
    separable.separable_kernel_gradients(gradient, frame, *kernels)
    separable.separable_frame_gradient(gradient, frame, *kernels)


def launch_adaptive() -> None:
    frames, kernels, gradient = (
        torch.rand(1, 2, 3, 48, 48),
        torch.rand(1, 2, 41, 41, 8, 8),
        torch.rand(1, 3, 8, 8),
    )
    adaptive.adaptive_forward(frames, kernels, 1)
    adaptive.adaptive_kernel_gradient(gradient, frames, kernels, 1)
    adaptive.adaptive_frame_gradient(gradient, frames, kernels, 1)


def launch_flow_separable(kernel_type: torch.dtype, resampling: str) -> None:
    frame, flow, kernels, gradient = (torch.rand(1, n, 8, 8) for n in (3, 2, 10, 3))
    inputs = frame, flow, *kernels.to(kernel_type).split(5, dim=1)
    flow_separable.flow_separable_forward(*inputs, resampling)
    flow_separable.flow_separable_gradients(gradient, *inputs, resampling)
    flow_separable.flow_separable_frame_gradient(gradient, *inputs, resampling)


def launch_alignment(dtype: torch.dtype, width: int, carried: int, radius: int) -> None:
    features = torch.rand(2, width, 8, 8).to(dtype).requires_grad_()
    coarse = torch.rand(1, carried, 4, 4).to(dtype).requires_grad_() if carried else None
    result = decoder_input.decoder_input(
        features, coarse, torch.rand(1, 4, 8, 8), torch.rand(1, 1, 1, 1), radius, multiple=8
    )
    result.sum().backward()


def launch_propagation() -> None:
    frame, flow = torch.rand(1, 3, 8, 8), torch.rand(1, 4, 8, 8).requires_grad_()
    time = torch.rand(1, 1, 1, 1)
    propagation.propagate_flow(frame, frame, flow, time, 4, dominant_motions=0).sum().backward()
    dominant_motions_triton.choose_motions(frame, frame, flow, torch.rand(1, 3, 2), time)


def launch_inference(dtype: torch.dtype) -> None:
    frame, outputs, time = (
        torch.rand(1, 4, 16, 16).to(dtype),
        torch.rand(1, 28, 8, 8).to(dtype),
        torch.rand(1, 1, 1, 1),
    )
    fields = fields_step.decode_outputs(outputs, torch.rand(1, 4, 8, 8), time, True)
    small = downsampling.downsample(frame, 2)
    alignment.alignment(small, small, fields)
    for resampling in ("linear", "cubic"):
        rectangle = slice(0, 16), slice(0, 16)
        synthesis.synthesise(frame, frame, fields, 2, *rectangle, time, resampling=resampling)


def launch_activation() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        outputs = torch.rand(1, 160, 4, 4).to(dtype).requires_grad_()
        activation.bias_activation(outputs, torch.rand(160), 0.1, outputs).sum().backward()


def launch_cutting() -> None:
    zeros, flags = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.bool)
    positions = CropPositions(
        zeros, zeros, flags, flags, flags, torch.zeros(1, 3, dtype=torch.int64)
    )
    for size in (32, 48, 64):
        cutting_cuda.cut_crops(torch.zeros(9999, dtype=torch.uint8), positions, size, 32)


if __name__ == "__main__":
    main()
