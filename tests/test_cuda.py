"""CUDA graphs, and every CUDA operator compared with the CPU, on a real GPU.

Needs neither PyAV nor Halide nor the fixtures of other tests. Without them:

    PYTHONPATH=src python -m pytest -c /dev/null --noconftest -q tests/test_cuda.py

So do the `test_*_cuda.py` in tests/models/flowsep/steps, which test more sizes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.models.flowsep.steps import ReferenceSteps, select_steps
from midframe.models.flowsep.steps.propagation.comparison import standardise
from midframe.models.flowsep.steps.propagation.reference import candidate_differences
from midframe.ops import adaptive_convolution, flow_separable_convolution, separable_convolution
from midframe.training.losses import ColourLoss
from midframe.transfers import download, upload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

LEVELS = {
    "finest": {"width": 32, "carried": 64, "radius": 0, "size": 48},
    "second": {"width": 48, "carried": 112, "radius": 3, "size": 24},
    "third": {"width": 96, "carried": 160, "radius": 4, "size": 12},
    "coarsest": {"width": 144, "carried": 0, "radius": 4, "size": 6},
    "odd": {"width": 20, "carried": 0, "radius": 3, "size": 19},
}
"""Levels of the decoder of FlowSep."""
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Relative to the largest value of a tensor."""


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def assert_near(actual: Tensor, expected: Tensor, tolerance: float, name: str = "result") -> None:
    error, largest = (actual.cpu().double() - expected.double()).abs().max(), expected.abs().max()
    assert error <= tolerance * largest.clamp(min=1e-6), f"{name}: {error} of {largest}"


def compare(
    operator: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    *tensors: Tensor,
    tolerance: float,
) -> None:
    """Compare the result and gradients of an operator on the GPU with those of the reference in
    float32 on the CPU."""
    fast = [each.cuda().requires_grad_() for each in tensors]
    exact = [each.float().requires_grad_() for each in tensors]
    result, expected = operator(*fast), reference(*exact)
    assert_near(result, expected, tolerance)
    outer = torch.randn(expected.shape).to(result.dtype)
    gradients = (
        torch.autograd.grad(result, fast, outer.cuda()),
        torch.autograd.grad(expected, exact, outer.float()),
    )
    for number, (actual, exact_gradient) in enumerate(zip(*gradients, strict=True)):
        assert_near(actual, exact_gradient, tolerance, f"gradient {number}")


def flow_between_pixels(*shape: int) -> Tensor:
    """Return a flow to positions not near integers, where its gradient would be discontinuous."""
    return (torch.randn(shape) * 4).floor() + 0.1 + 0.8 * torch.rand(shape)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_decoder_input_equals_the_reference(level: str, dtype: torch.dtype) -> None:
    width, carried, radius, size = LEVELS[level].values()
    features = torch.randn(width, 1, 1).sign() * (0.5 + torch.rand(4, width, size, size + 2))
    coarse = torch.randn(2, carried, size // 2, size // 2 + 1)
    inputs = [features.to(dtype).contiguous(memory_format=torch.channels_last), coarse.to(dtype)]
    inputs = [
        *inputs[: 2 if carried else 1],
        flow_between_pixels(2, 4, size, size + 2),
        torch.rand(2, 1, 1, 1),
    ]

    def operator(features: Tensor, *others: Tensor) -> Tensor:
        *coarse, flow, time = others
        steps = select_steps(features) if features.is_cuda else ReferenceSteps()
        return steps.decoder_input(features, coarse[0] if coarse else None, flow, time, radius)

    compare(operator, operator, *inputs, tolerance=TOLERANCES[dtype])


@pytest.mark.parametrize("dominant_motions", [0, 3])
def test_flow_propagation_equals_the_cpu(dominant_motions: int) -> None:
    time = torch.full((2, 1, 1, 1), 0.5)
    first, second = torch.rand(2, 2, 3, 48, 50)
    flow = flow_between_pixels(2, 4, 48, 50)
    fast = flow.cuda().requires_grad_()
    result = select_steps(fast).propagate_flow(
        first.cuda(), second.cuda(), fast, time.cuda(), 4, dominant_motions
    )
    expected = select_steps(flow).propagate_flow(first, second, flow, time, 4, dominant_motions)
    assert ((result.cpu() - expected).abs().amax(1) < 1e-4).float().mean() > 0.98
    differences = candidate_differences(
        standardise(first.cuda()), standardise(second.cuda()), flow.cuda(), 4
    ).cpu()
    torch.testing.assert_close(
        differences,
        candidate_differences(standardise(first), standardise(second), flow, 4),
        atol=1e-4,
        rtol=1e-4,
    )
    (gradient,) = torch.autograd.grad(result.sum(), fast)
    if not dominant_motions:  # no gradient goes to a flow that a dominant motion replaces
        torch.testing.assert_close(
            gradient.sum().cpu(), torch.tensor(float(flow.numel())), atol=1.0, rtol=0
        )


def test_convolutions_equal_the_cpu() -> None:
    kernels = torch.randn(2, 2, 5, 20, 30)
    frame, flow = torch.rand(2, 3, 24, 28), flow_between_pixels(2, 2, 20, 30)
    compare(
        flow_separable_convolution,
        flow_separable_convolution,
        frame,
        flow,
        *kernels,
        tolerance=1e-4,
    )
    compare(
        separable_convolution,
        separable_convolution,
        torch.rand(2, 3, 24, 34),
        *kernels,
        tolerance=1e-4,
    )
    inputs = torch.rand(1, 2, 3, 24, 26), torch.rand(1, 2, 5, 5, 20, 22)
    compare(adaptive_convolution, adaptive_convolution, *inputs, tolerance=1e-4)


def training_step(model: FlowSep, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
    """Compute the loss and the gradients of the model; return the loss."""
    estimate = model.estimate(first, second, time)
    loss, _ = ColourLoss({"l1": 1.0, "laplacian": 0.1, "mse": 1.0})(
        model.synthesise(first, second, estimate).float(), first
    )
    loss.backward()
    return loss.detach()


def tiny(device: str) -> FlowSep:
    torch.manual_seed(0)
    return FlowSep(FlowSepConfig(widths=(8, 16, 16, 24), hidden=(8, 16, 24, 24))).to(device)


def test_the_loss_and_gradients_of_a_network_equal_the_cpu() -> None:
    first, second, time = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96), torch.rand(2)
    models = tiny("cuda"), tiny("cpu")
    losses = [
        training_step(
            model, *(each.to(next(model.parameters()).device) for each in (first, second, time))
        ).cpu()
        for model in models
    ]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-4)
    norms = [
        torch.stack([each.grad.norm().cpu() for each in model.parameters()]) for model in models
    ]
    torch.testing.assert_close(*norms, atol=1e-4, rtol=5e-2)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_training_step_in_a_cuda_graph_gives_the_same_loss(mixed: bool) -> None:
    model = tiny("cuda")
    inputs = torch.rand(2, 3, 64, 96).cuda(), torch.rand(2, 3, 64, 96).cuda(), torch.rand(2).cuda()

    def step() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            return training_step(model, *inputs)

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    for each, values in zip(
        inputs, (torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96), torch.rand(2)), strict=True
    ):
        each.copy_(values)
    graph.replay()
    torch.testing.assert_close(loss, step(), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("scale", [1, 2])
@torch.inference_mode()
def test_inference_with_and_without_cuda_graphs_equals_the_cpu(scale: int) -> None:
    reference, fast = tiny("cpu"), tiny("cuda").for_inference()
    reference.scale = fast.scale = scale
    for height, width in ((70, 90), (64, 96)):
        for _ in range(4):  # run, captured, replayed
            first, second = torch.rand(2, 1, 3, height, width)
            for time in (0.5, 0.3):
                output = fast(first.cuda(), second.cuda(), time).cpu()
                differences = (output - reference(first, second, time)).abs()
                assert (
                    differences < 1e-3
                ).float().mean() > 0.99  # a nearly equal flow may be chosen instead
    assert fast.graphs is not None
    assert len(fast.graphs._graphs) == 4
    assert all(fast.graphs._graphs.values())


def test_copies_are_complete_while_the_gpu_is_busy() -> None:
    matrix = torch.rand(4096, 4096, device="cuda")
    planes = [torch.randint(0, 2**16, (270, 480), dtype=torch.int32) for _ in range(3)]

    def copy_repeatedly(plane: Tensor) -> Tensor:
        for _ in range(20):
            matrix @ matrix
            plane = download(upload(plane, "cuda") + 1)
        return plane

    with ThreadPoolExecutor(len(planes)) as threads:
        for plane, result in zip(planes, threads.map(copy_repeatedly, planes), strict=True):
            assert torch.equal(result, plane + 20)


def test_the_memory_of_a_copy_is_not_reused_before_the_copy_ends() -> None:
    matrix = torch.rand(4096, 4096, device="cuda")
    sums = []
    for number in range(50):
        copied = upload(torch.full((1000, 1000), float(number)), "cuda")
        matrix @ matrix
        sums.append(copied.mean())
        del copied
    assert [round(float(each)) for each in sums] == list(range(50))
