"""Every CUDA operator against the CPU on a real card, and CUDA graphs.

Needs neither PyAV nor Halide nor the other tests' fixtures; where these are not installed:

    PYTHONPATH=src python -m pytest -c /dev/null --noconftest -q tests/test_cuda.py

So do the `test_*_cuda.py` in tests/models/flowsep/steps, which try more sizes.
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
"""Levels of FlowSep's decoder."""
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Of the largest value of a tensor."""


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def assert_near(found: Tensor, wanted: Tensor, tolerance: float, name: str = "result") -> None:
    error, largest = (found.cpu().double() - wanted.double()).abs().max(), wanted.abs().max()
    assert error <= tolerance * largest.clamp(min=1e-6), f"{name}: {error} of {largest}"


def compare(
    operator: Callable[..., Tensor], plain: Callable[..., Tensor], *given: Tensor, tolerance: float
) -> None:
    """Compare an operator's result and gradients on the card with those of its plain form in
    float32 on the CPU."""
    fast = [each.cuda().requires_grad_() for each in given]
    exact = [each.float().requires_grad_() for each in given]
    found, wanted = operator(*fast), plain(*exact)
    assert_near(found, wanted, tolerance)
    outer = torch.randn(wanted.shape).to(found.dtype)
    gradients = (
        torch.autograd.grad(found, fast, outer.cuda()),
        torch.autograd.grad(wanted, exact, outer.float()),
    )
    for number, (got, expected) in enumerate(zip(*gradients, strict=True)):
        assert_near(got, expected, tolerance, f"gradient {number}")


def flow_between_pixels(*shape: int) -> Tensor:
    """Return a flow whose targets are not near whole pixels, where its gradient jumps."""
    return (torch.randn(shape) * 4).floor() + 0.1 + 0.8 * torch.rand(shape)


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_input_of_the_decoder(level: str, kind: torch.dtype) -> None:
    width, carried, radius, size = LEVELS[level].values()
    features = torch.randn(width, 1, 1).sign() * (0.5 + torch.rand(4, width, size, size + 2))
    before = torch.randn(2, carried, size // 2, size // 2 + 1)
    given = [features.to(kind).contiguous(memory_format=torch.channels_last), before.to(kind)]
    given = [
        *given[: 2 if carried else 1],
        flow_between_pixels(2, 4, size, size + 2),
        torch.rand(2, 1, 1, 1),
    ]

    def operator(features: Tensor, *others: Tensor) -> Tensor:
        *known, flow, time = others
        steps = select_steps(features) if features.is_cuda else ReferenceSteps()
        return steps.decoder_input(features, known[0] if known else None, flow, time, radius)

    compare(operator, operator, *given, tolerance=TOLERANCES[kind])


@pytest.mark.parametrize("dominant_motions", [0, 3])
def test_flow_propagation(dominant_motions: int) -> None:
    time = torch.full((2, 1, 1, 1), 0.5)
    first, second = torch.rand(2, 2, 3, 48, 50)
    flow = flow_between_pixels(2, 4, 48, 50)
    fast = flow.cuda().requires_grad_()
    made = select_steps(fast).propagate_flow(
        first.cuda(), second.cuda(), fast, time.cuda(), 4, dominant_motions
    )
    plain = select_steps(flow).propagate_flow(first, second, flow, time, 4, dominant_motions)
    assert ((made.cpu() - plain).abs().amax(1) < 1e-4).float().mean() > 0.98
    apart = candidate_differences(
        standardise(first.cuda()), standardise(second.cuda()), flow.cuda(), 4
    ).cpu()
    torch.testing.assert_close(
        apart,
        candidate_differences(standardise(first), standardise(second), flow, 4),
        atol=1e-4,
        rtol=1e-4,
    )
    (gradient,) = torch.autograd.grad(made.sum(), fast)
    if not dominant_motions:  # no gradient goes to a flow that a dominant motion replaces
        torch.testing.assert_close(
            gradient.sum().cpu(), torch.tensor(float(flow.numel())), atol=1.0, rtol=0
        )


def test_convolutions() -> None:
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
    given = torch.rand(1, 2, 3, 24, 26), torch.rand(1, 2, 5, 5, 20, 22)
    compare(adaptive_convolution, adaptive_convolution, *given, tolerance=1e-4)


def training_step(model: FlowSep, first: Tensor, second: Tensor, time: Tensor) -> Tensor:
    """Return the loss, and leave the gradients in the model."""
    estimate = model.estimate(first, second, time)
    loss, _ = ColourLoss({"l1": 1.0, "laplacian": 0.1, "mse": 1.0})(
        model.synthesise(first, second, estimate).float(), first
    )
    loss.backward()
    return loss.detach()


def tiny(device: str) -> FlowSep:
    torch.manual_seed(0)
    return FlowSep(FlowSepConfig(widths=(8, 16, 16, 24), hidden=(8, 16, 24, 24))).to(device)


def test_a_network_and_its_gradients() -> None:
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
def test_a_training_step_in_a_cuda_graph(mixed: bool) -> None:
    model = tiny("cuda")
    given = torch.rand(2, 3, 64, 96).cuda(), torch.rand(2, 3, 64, 96).cuda(), torch.rand(2).cuda()

    def step() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            return training_step(model, *given)

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
        given, (torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96), torch.rand(2)), strict=True
    ):
        each.copy_(values)
    graph.replay()
    torch.testing.assert_close(loss, step(), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("scale", [1, 2])
@torch.inference_mode()
def test_inference_with_and_without_graphs(scale: int) -> None:
    plain, fast = tiny("cpu"), tiny("cuda").for_inference()
    plain.scale = fast.scale = scale
    for height, width in ((70, 90), (64, 96)):
        for _ in range(4):  # as it is, captured, replayed
            first, second = torch.rand(2, 1, 3, height, width)
            for time in (0.5, 0.3):
                made = fast(first.cuda(), second.cuda(), time).cpu()
                apart = (made - plain(first, second, time)).abs()
                assert (
                    apart < 1e-3
                ).float().mean() > 0.99  # another flow of nearly equal ones may be taken
    assert fast.graphs is not None
    assert len(fast.graphs._graphs) == 4
    assert all(fast.graphs._graphs.values())


def test_copies_are_complete_while_the_card_computes() -> None:
    busy = torch.rand(4096, 4096, device="cuda")
    planes = [torch.randint(0, 2**16, (270, 480), dtype=torch.int32) for _ in range(3)]

    def there_and_back(plane: Tensor) -> Tensor:
        for _ in range(20):
            busy @ busy
            plane = download(upload(plane, "cuda") + 1)
        return plane

    with ThreadPoolExecutor(len(planes)) as threads:
        for plane, found in zip(planes, threads.map(there_and_back, planes), strict=True):
            assert torch.equal(found, plane + 20)


def test_the_memory_of_a_copy_is_not_reused_too_early() -> None:
    busy = torch.rand(4096, 4096, device="cuda")
    sums = []
    for number in range(50):
        copied = upload(torch.full((1000, 1000), float(number)), "cuda")
        busy @ busy
        sums.append(copied.mean())
        del copied
    assert [round(float(each)) for each in sums] == list(range(50))
