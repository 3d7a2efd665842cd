import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from midframe.errors import ConfigError
from midframe.models.adaconv import MARGIN, AdaConv, AdaConvConfig
from midframe.models.checkpoint import build_model
from midframe.models.sepconv import SeparableKernels
from midframe.training.flow_supervision import hat_kernel, kernel_flow_loss, logit_flow_loss
from midframe.training.losses import CENTRE, LOSSES, NEIGHBOURS, VGG_LAYERS, ColourLoss, Feature, l1
from midframe.training.objectives import AdaConvObjective, Batch, SepConvObjective, take_strided
from midframe.training.samples import to_batch


def test_the_flow_loss_is_zero_for_kernels_that_sample_along_the_flow() -> None:
    flows = torch.tensor([[[2.0, -1.0], [-2.5, 0.5]]])[..., None, None].expand(1, 2, 2, 4, 5)
    confidence = torch.ones(1, 2, 4, 5)
    right = SeparableKernels(
        *(hat_kernel(flows[:, frame, axis], 4) for frame, axis in ((0, 1), (0, 0), (1, 1), (1, 0)))
    )
    assert kernel_flow_loss(right, flows, confidence) == 0
    wrong = right._replace(first_vertical=right.first_vertical.roll(1, 1))
    assert kernel_flow_loss(wrong, flows, confidence) > 0.5
    assert kernel_flow_loss(wrong, flows, confidence * 0) == 0
    assert kernel_flow_loss(wrong, flows * 10, confidence) == 0, (
        "flows beyond the reach of the kernels are ignored"
    )
    torch.testing.assert_close(right.first_horizontal.sum(1), torch.full((1, 4, 5), math.sqrt(0.5)))


def test_hat_kernels_sample_the_right_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    middle = torch.rand(1, 3, 40, 40, generator=generator)
    first, second = middle.roll((1, 3), (2, 3)), middle.roll((-1, -3), (2, 3))
    flows = torch.tensor([[[3.0, 1.0], [-3.0, -1.0]]])[..., None, None].expand(1, 2, 2, 40, 40)
    kernels = SeparableKernels(
        *(hat_kernel(flows[:, frame, axis], 4) for frame, axis in ((0, 1), (0, 0), (1, 1), (1, 0)))
    )
    model = build_model("sepconv", {"widths": [4, 8], "taps": 9})
    output = model.synthesise(first, second, kernels)
    torch.testing.assert_close(output[..., 5:-5, 5:-5], middle[..., 5:-5, 5:-5])


def test_every_weight_of_sepconv_gets_a_gradient() -> None:
    model = build_model("sepconv", {"widths": [4, 8], "taps": 5})
    frames = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    loss, losses = SepConvObjective(model)(to_batch(frames, torch.full((len(frames),), 0.5)), 0.0)
    loss.backward()
    assert loss.detach() == losses["loss"] == l1(*_predict(model, frames))
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in model.parameters()
    )


def test_only_the_kernel_sum_penalty_depends_on_the_scale_of_kernels() -> None:
    torch.manual_seed(0)
    model = build_model("sepconv", {"widths": [4, 8], "taps": 5})
    batch = to_batch(
        torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8), torch.full((2,), 0.5)
    )
    without, penalised = SepConvObjective(model), SepConvObjective(model, kernel_sum_penalty=0.1)
    colour_loss, (loss, losses) = without(batch, 0.0)[0], penalised(batch, 0.0)
    assert losses["kernel_sum_penalty"] == 0, "new kernels have sums near one"
    assert loss == colour_loss
    for head in model.heads:
        head.last.weight.data *= 10
        head.last.bias.data *= 10
    torch.testing.assert_close(without(batch, 0.0)[0], colour_loss)
    total, losses = penalised(batch, 0.0)
    torch.testing.assert_close(total, colour_loss + 0.1 * losses["kernel_sum_penalty"])
    assert losses["kernel_sum_penalty"] == pytest.approx(math.log(100) - 1, abs=0.5)
    (total - without(batch, 0.0)[0]).backward()
    assert all((head.last.bias * head.last.bias.grad).sum() > 0 for head in model.heads), (
        "the penalty makes kernels smaller"
    )


def _predict(model: torch.nn.Module, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    batch = to_batch(frames, torch.full((len(frames),), 0.5))
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
    return Batch(
        *frames, torch.full((2,), 0.5), flows, torch.rand(2, 2, height, width, generator=generator)
    )


def test_neighbours_of_a_pixel_are_interpolated_with_the_kernel_of_the_pixel(
    adaconv: AdaConv,
) -> None:
    batch = random_batch()
    kernels = adaconv.kernels(batch.first, batch.second)
    outputs = AdaConvObjective(adaconv)._interpolate_neighbours(batch, kernels)
    frames = torch.stack((batch.first, batch.second), dim=1)
    for y, x in ((0, 0), (1, 2)):
        for index, (down, right) in enumerate(NEIGHBOURS):
            top, left = MARGIN + 8 * y + down - 1 - 4, MARGIN + 8 * x + right - 1 - 4
            window = frames[..., top : top + 9, left : left + 9]
            expected = torch.einsum("nfij,nfcij->nc", kernels[..., y, x], window)
            torch.testing.assert_close(outputs[:, index, :, y, x], expected, atol=1e-5, rtol=1e-5)


def test_the_loss_of_the_paper_is_zero_for_a_perfect_prediction(adaconv: AdaConv) -> None:
    torch.nn.init.zeros_(adaconv.layers[-1].weight)  # type: ignore[arg-type]
    adaconv.layers[-1].bias.data[4 * 9 + 4] = 50.0  # type: ignore[union-attr,index]  # all weight on the pixel of the first frame
    batch = random_batch()
    objective = AdaConvObjective(adaconv)
    assert objective(batch._replace(middle=batch.first), 0.0)[0] < 1e-5
    loss, losses = objective(batch, 0.0)
    assert loss > 8 * losses["loss"], "eight gradients weigh as much as eight colours"


def test_validation_scores_every_eighth_pixel(adaconv: AdaConv) -> None:
    batch = random_batch()
    with torch.no_grad():
        output, target = AdaConvObjective(adaconv).predict(batch)
        full = adaconv(batch.first, batch.second)
    torch.testing.assert_close(
        output, full[..., MARGIN::8, MARGIN::8][..., :2, :3], atol=1e-5, rtol=1e-5
    )
    assert torch.equal(target, batch.middle[..., MARGIN::8, MARGIN::8][..., :2, :3])


def slow_logit_flow_loss(scores: Tensor, flows: Tensor, confidence: Tensor, taps: int) -> float:
    """Compute the loss by its definition, one pixel at a time."""
    logs = scores.log_softmax(-1).unflatten(-1, (2, taps, taps))
    offsets = torch.arange(taps) - taps // 2
    total = 0.0
    for n, y, x in torch.cartesian_prod(
        *(torch.arange(size) for size in scores.shape[:3])
    ).tolist():
        weights, entropies = [], []
        for frame in (0, 1):
            right, down = flows[n, frame, :, y, x].tolist()
            reached = max(abs(right), abs(down)) < taps // 2
            weights.append(confidence[n, frame, y, x].item() if reached else 0.0)
            target = torch.outer(
                (1 - (offsets - down).abs()).clamp(0), (1 - (offsets - right).abs()).clamp(0)
            )
            entropies.append(-(logs[n, y, x, frame] * target).sum().item())
        if sum(weights):
            mean = sum(w * e for w, e in zip(weights, entropies, strict=True)) / sum(weights)
            total += mean * max(weights)
    return total / scores[..., 0].numel()


def test_the_logit_flow_loss_is_the_cross_entropy_against_the_flow() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 2 * 9 * 9, generator=generator)
    flows = torch.randn(2, 2, 2, 3, 4, generator=generator) * 3
    confidence = torch.rand(2, 2, 3, 4, generator=generator)
    assert logit_flow_loss(scores, flows, confidence).item() == pytest.approx(
        slow_logit_flow_loss(scores, flows, confidence, 9), rel=1e-4
    )
    assert logit_flow_loss(scores, flows, confidence * 0) == 0


def test_every_weight_of_adaconv_gets_a_gradient(adaconv: AdaConv) -> None:
    batch = random_batch()
    loss, losses = AdaConvObjective(adaconv.train())(batch, 0.5)
    loss.backward()
    assert losses.keys() == {"loss", "flow_supervision"}
    assert all(
        weight.grad is not None and weight.grad.abs().sum() > 0 for weight in adaconv.parameters()
    )


def test_strided_sampling_begins_at_the_border() -> None:
    image = torch.arange(400.0).view(20, 20)
    assert take_strided(image, (2, 1), border=3).tolist() == [[63.0], [223.0]]
    assert CENTRE == 4


def images(count: int = 2, height: int = 37, width: int = 42) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_loss_is_zero_for_the_ground_truth_and_decreases_towards_it(name: str) -> None:
    truth = images()
    assert LOSSES[name](truth, truth) == 0
    wrong = (truth + 0.3 * images().flip(0)).requires_grad_()
    values = [
        LOSSES[name](truth + fraction * (wrong - truth), truth) for fraction in (1.0, 0.5, 0.1)
    ]
    assert values[0] > values[1] > values[2] > 0
    values[0].backward()
    assert wrong.grad is not None
    assert torch.isfinite(wrong.grad).all()


def test_census_and_gradient_losses_ignore_brightness() -> None:
    truth = images() * 0.5
    for name in ("census", "gradient"):
        assert LOSSES[name](truth + 0.2, truth) < 1e-3
    assert LOSSES["l1"](truth + 0.2, truth) == pytest.approx(0.2)


def test_the_laplacian_loss_measures_brightness_at_its_coarsest_level() -> None:
    truth = images() * 0.5
    assert LOSSES["laplacian"](truth + 0.2, truth) == pytest.approx(0.2 * 16, rel=1e-4)


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    """Write VGG-19 with random weights and one layer more than is needed."""
    shapes, channels, index = {}, 3, 0
    for width in VGG_LAYERS:
        if not isinstance(width, str):
            shapes |= {
                f"features.{index}.weight": (width, channels, 3, 3),
                f"features.{index}.bias": (width,),
            }
            channels = width
        index += 1 if isinstance(width, str) else 2
    state = {name: torch.randn(shape) * 0.05 for name, shape in shapes.items()}
    save_file({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg19.safetensors")
    return tmp_path / "vgg19.safetensors"


def test_the_feature_loss_loads_the_torchvision_weights_of_vgg(vgg: Path) -> None:
    loss = ColourLoss({"l1": 1.0, "feature": 0.5}, str(vgg))
    output = (images() * 0.9).requires_grad_()
    total, losses = loss(output, images())
    assert set(losses) == {"loss", "l1", "feature"}
    assert total.detach() == pytest.approx(float(losses["l1"] + 0.5 * losses["feature"]), rel=1e-5)
    total.backward()
    assert output.grad is not None
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    features = Feature(vgg).features
    assert sum(isinstance(layer, nn.Conv2d) for layer in features) == 12, (
        "relu4_4 follows the twelfth convolution"
    )


def test_invalid_losses_raise_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no loss l3: choose from l1"):
        ColourLoss({"l3": 1.0})
    with pytest.raises(ConfigError, match="needs vgg"):
        ColourLoss({"feature": 1.0})
    with pytest.raises(ConfigError, match="does not hold VGG-19"):
        ColourLoss({"feature": 1.0}, str(tmp_path / "nothing.safetensors"))
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="does not hold VGG-19"):
        ColourLoss({"feature": 1.0}, str(tmp_path / "other.safetensors"))
