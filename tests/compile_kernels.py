"""Compile every CUDA kernel that the operators launch for graphics cards of several generations; none is needed.

`test_cuda_kernels.py` runs this as a program of its own, as Triton's interpreter is chosen when Triton is imported. It
prints a line of JSON for each kernel and generation: what was compiled, from which types, and the bytes of shared
memory that a program of it takes.
"""

import json
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from midframe.ops import adaptive_cuda, flow_separable_cuda, separable_cuda
from midframe.ops.resampling import RESAMPLINGS

GENERATIONS = {75: "Turing", 80: "Ampere", 90: "Hopper"}
WARP = 32
POINTERS = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}


def main() -> None:
    JITFunction.run = compile_for_cards
    for kernels in POINTERS:
        launch_separable(kernels)
        for resampling in RESAMPLINGS:
            launch_flow_separable(kernels, resampling)
    launch_adaptive()


def compile_for_cards(kernel: Any, *inputs: Any, grid: Any, warmup: bool, **named: Any) -> None:
    """What stands in for a launch."""
    values = {**dict(zip(kernel.arg_names, inputs, strict=False)), **named}
    fixed = {each.name for each in kernel.params if each.is_constexpr}
    types = {name: "constexpr" if name in fixed else _type(values[name]) for name in kernel.arg_names}
    constants = {(kernel.arg_names.index(name),): values[name] for name in fixed}
    options = {name: named[name] for name in named.keys() & {"num_warps", "num_stages"}}
    for generation in GENERATIONS:
        target = GPUTarget("cuda", generation, WARP)
        made = triton.compile(ASTSource(kernel, types, constexprs=constants), target=target, options=options)
        facts = {"kernel": f"{kernel.__module__}.{kernel.__name__}", "generation": generation}
        print(json.dumps({**facts, "types": list(types.values()), "shared": made.metadata.shared}))


def _type(value: Any) -> str:
    return POINTERS[value.dtype] if isinstance(value, Tensor) else "i32"


def launch_separable(kernel_type: torch.dtype) -> None:
    frame, gradient, kernels = torch.rand(1, 3, 58, 58), torch.rand(1, 3, 8, 8), torch.rand(2, 1, 51, 8, 8)
    kernels = kernels.to(kernel_type)
    separable_cuda.separable_forward(frame, *kernels)
    separable_cuda.separable_kernel_gradients(gradient, frame, *kernels)
    separable_cuda.separable_frame_gradient(gradient, frame, *kernels)


def launch_adaptive() -> None:
    frames, kernels, gradient = torch.rand(1, 2, 3, 48, 48), torch.rand(1, 2, 41, 41, 8, 8), torch.rand(1, 3, 8, 8)
    adaptive_cuda.adaptive_forward(frames, kernels, 1)
    adaptive_cuda.adaptive_kernel_gradient(gradient, frames, kernels, 1)
    adaptive_cuda.adaptive_frame_gradient(gradient, frames, kernels, 1)


def launch_flow_separable(kernel_type: torch.dtype, resampling: str) -> None:
    frame, flow, kernels, gradient = (torch.rand(1, n, 8, 8) for n in (3, 2, 10, 3))
    inputs = frame, flow, *kernels.to(kernel_type).split(5, dim=1)
    flow_separable_cuda.flow_separable_forward(*inputs, resampling)
    flow_separable_cuda.flow_separable_gradients(gradient, *inputs, resampling)
    flow_separable_cuda.flow_separable_frame_gradient(gradient, *inputs, resampling)


if __name__ == "__main__":
    main()
