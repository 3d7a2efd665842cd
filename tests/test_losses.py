import math

import pytest
import torch
from torch import Tensor

from midframe.models.adaconv import MARGIN, AdaConv, AdaConvConfig
from midframe.models.checkpoint import build_model
from midframe.models.sepconv import SeparableKernels
from midframe.training.losses import (
    CENTRE,
    NEIGHBOURS,
    AdaConvObjective,
    Batch,
    SepConvObjective,
    every_stride,
    hat,
    kernel_guidance,
    l1,
    score_guidance,
)
from midframe.training.samples import to_batch


def test_the_guide_is_content_with_kernels_that_fetch_along_the_flow() -> None:
    flows = torch.tensor([[[2.0, -1.0], [-2.5, 0.5]]])[..., None, None].expand(1, 2, 2, 4, 5)
    trust = torch.ones(1, 2, 4, 5)
    right = SeparableKernels(*(hat(flows[:, frame, axis], 4) for frame, axis in ((0, 1), (0, 0), (1, 1), (1, 0))))
    assert kernel_guidance(right, flows, trust) == 0
    wrong = right._replace(first_vertical=right.first_vertical.roll(1, 1))
    assert kernel_guidance(wrong, flows, trust) > 0.5
    assert kernel_guidance(wrong, flows, trust * 0) == 0
    assert kernel_guidance(wrong, flows * 10, trust) == 0, "what kernels cannot reach does not count"
    torch.testing.assert_close(right.first_horizontal.sum(1), torch.full((1, 4, 5), math.sqrt(0.5)))


def test_guided_kernels_fetch_the_right_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    middle = torch.rand(1, 3, 40, 40, generator=generator)
    first, second = middle.roll((1, 3), (2, 3)), middle.roll((-1, -3), (2, 3))
    flows = torch.tensor([[[3.0, 1.0], [-3.0, -1.0]]])[..., None, None].expand(1, 2, 2, 40, 40)
    kernels = SeparableKernels(*(hat(flows[:, frame, axis], 4) for frame, axis in ((0, 1), (0, 0), (1, 1), (1, 0))))
    model = build_model("sepconv", {"widths": [4, 8], "taps": 9})
    made = model.apply(first, second, kernels)
    torch.testing.assert_close(made[..., 5:-5, 5:-5], middle[..., 5:-5, 5:-5])


def test_the_objective_gives_every_weight_a_gradient() -> None:
    model = build_model("sepconv", {"widths": [4, 8], "taps": 5})
    frames = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    loss, parts = SepConvObjective(model)(to_batch(frames), 0.0)
    loss.backward()
    assert loss.detach() == parts["loss"] == l1(*_made_and_true(model, frames))
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def _made_and_true(model: torch.nn.Module, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    batch = to_batch(frames)
    with torch.no_grad():
        return model(batch.first, batch.second), batch.middle


@pytest.fixture
def adaconv() -> AdaConv:
    torch.manual_seed(0)
    return AdaConv(AdaConvConfig(widths=(8, 8, 8, 8, 8), taps=9)).eval()


def random_batch(height: int = 90, width: int = 98) -> Batch:
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(3, 2, 3, height, width, generator=generator)
    flows = torch.randn(2, 2, 2, height, width, generator=generator) * 3
    return Batch(*frames, flows, torch.rand(2, 2, height, width, generator=generator))


def test_gradients_of_the_inputs_are_convolved_with_the_pixels_own_kernel(adaconv: AdaConv) -> None:
    batch = random_batch()
    kernels = adaconv.kernels(batch.first, batch.second)
    made = AdaConvObjective(adaconv)._neighbours_made(batch, kernels)
    frames = torch.stack((batch.first, batch.second), dim=1)
    for y, x in ((0, 0), (1, 2)):
        for index, (down, right) in enumerate(NEIGHBOURS):
            top, left = MARGIN + 8 * y + down - 1 - 4, MARGIN + 8 * x + right - 1 - 4
            seen = frames[..., top : top + 9, left : left + 9]
            expected = torch.einsum("nfij,nfcij->nc", kernels[..., y, x], seen)
            torch.testing.assert_close(made[:, index, :, y, x], expected, atol=1e-5, rtol=1e-5)


def test_the_papers_loss_of_a_perfect_pixel_is_zero(adaconv: AdaConv) -> None:
    torch.nn.init.zeros_(adaconv.layers[-1].weight)  # type: ignore[arg-type]
    adaconv.layers[-1].bias.data[4 * 9 + 4] = 50.0  # type: ignore[union-attr,index]  # all weight on the first frame's pixel
    batch = random_batch()
    objective = AdaConvObjective(adaconv)
    assert objective(batch._replace(middle=batch.first), 0.0)[0] < 1e-5
    loss, parts = objective(batch, 0.0)
    assert loss > 8 * parts["loss"], "eight gradients weigh as much as eight colours"


def test_validation_looks_at_every_eighth_pixel(adaconv: AdaConv) -> None:
    batch = random_batch()
    with torch.no_grad():
        made, true = AdaConvObjective(adaconv).predict(batch)
        whole = adaconv(batch.first, batch.second)
    torch.testing.assert_close(made, whole[..., MARGIN::8, MARGIN::8][..., :2, :3], atol=1e-5, rtol=1e-5)
    assert torch.equal(true, batch.middle[..., MARGIN::8, MARGIN::8][..., :2, :3])


def slow_guidance(scores: Tensor, flows: Tensor, trust: Tensor, taps: int) -> float:
    """The definition, one pixel at a time."""
    logs = scores.log_softmax(-1).unflatten(-1, (2, taps, taps))
    places = torch.arange(taps) - taps // 2
    total = 0.0
    for n, y, x in torch.cartesian_prod(*(torch.arange(size) for size in scores.shape[:3])).tolist():
        weights, entropies = [], []
        for frame in (0, 1):
            right, down = flows[n, frame, :, y, x].tolist()
            reached = max(abs(right), abs(down)) < taps // 2
            weights.append(trust[n, frame, y, x].item() if reached else 0.0)
            wanted = torch.outer((1 - (places - down).abs()).clamp(0), (1 - (places - right).abs()).clamp(0))
            entropies.append(-(logs[n, y, x, frame] * wanted).sum().item())
        if sum(weights):
            mean = sum(w * e for w, e in zip(weights, entropies, strict=True)) / sum(weights)
            total += mean * max(weights)
    return total / scores[..., 0].numel()


def test_the_guide_of_scores_is_cross_entropy_against_where_the_flow_leads() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 2 * 9 * 9, generator=generator)
    flows = torch.randn(2, 2, 2, 3, 4, generator=generator) * 3
    trust = torch.rand(2, 2, 3, 4, generator=generator)
    assert score_guidance(scores, flows, trust).item() == pytest.approx(
        slow_guidance(scores, flows, trust, 9), rel=1e-4
    )
    assert score_guidance(scores, flows, trust * 0) == 0


def test_every_weight_of_adaconv_gets_a_gradient(adaconv: AdaConv) -> None:
    batch = random_batch()
    loss, parts = AdaConvObjective(adaconv.train())(batch, 0.5)
    loss.backward()
    assert parts.keys() == {"loss", "guide"}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in adaconv.parameters())


def test_every_stride_takes_from_the_border_on() -> None:
    image = torch.arange(400.0).view(20, 20)
    assert every_stride(image, (2, 1), border=3).tolist() == [[63.0], [223.0]]
    assert CENTRE == 4
