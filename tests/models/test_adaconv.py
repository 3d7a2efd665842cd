import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from midframe.models.adaconv import (
    MARGIN,
    PATCH,
    STRIDE,
    AdaConv,
    AdaConvConfig,
    MatrixConvolution,
    reflect_indices,
)
from midframe.models.checkpoint import load_model, save_model

SMALL = {"widths": (8, 8, 8, 8, 16), "taps": 9}


@pytest.fixture
def model() -> AdaConv:
    """Return a small network with random statistics and with kernels of high contrast."""
    torch.manual_seed(0)
    model = AdaConv(AdaConvConfig(**SMALL))  # type: ignore[arg-type]
    for layer in model.layers:
        if isinstance(layer, nn.BatchNorm2d):
            for value, low, high in (
                (layer.running_mean, -1, 1), (layer.running_var, 0.5, 2), (layer.weight, 0.5, 2),
                (layer.bias, -1, 1),
            ):  # fmt: skip
                nn.init.uniform_(value, low, high)  # type: ignore[arg-type]
    nn.init.normal_(model.layers[-1].weight, std=20.0)  # type: ignore[arg-type]
    return model.eval().requires_grad_(False)


def patch_by_patch(model: AdaConv, first: Tensor, second: Tensor) -> Tensor:
    """Interpolate as in the paper: predict kernels for each pixel from its patches, and filter the
    centres of the patches."""
    height, width = first.shape[2:]
    indices = [
        index.tolist()
        for index in (reflect_indices(size, first.device) for size in (height, width))
    ]
    padded = [frame[:, :, indices[0]][..., indices[1]] for frame in (first, second)]
    unused = MARGIN - model.config.taps // 2
    inner = slice(unused, unused + model.config.taps)
    patches = [
        torch.stack([frame[..., y : y + PATCH, x : x + PATCH] for frame in padded], dim=1)
        for y in range(height)
        for x in range(width)
    ]
    outputs = []
    for batch in torch.cat(patches).split(128):  # (pixels * N, 2, 3, 79, 79)
        kernels = model.kernels(batch[:, 0], batch[:, 1])[..., 0, 0]  # (., 2, K, K)
        outputs.append(torch.einsum("nfcij,nfij->nc", batch[..., inner, inner], kernels))
    return torch.cat(outputs).view(height, width, -1, 3).permute(2, 3, 0, 1)


def test_the_network_of_the_paper_has_15_93_million_parameters() -> None:
    assert sum(each.numel() for each in AdaConv().parameters()) == 15_927_394


def test_one_patch_gives_one_kernel_of_41_by_82_with_a_sum_of_1() -> None:
    kernels = AdaConv().eval().kernels(*torch.rand(2, 1, 3, PATCH, PATCH))
    assert kernels.shape == (1, 2, 41, 41, 1, 1)
    assert kernels.min() >= 0
    torch.testing.assert_close(kernels.sum(), torch.tensor(1.0))


@pytest.mark.parametrize(("height", "width"), [(9, 12), (1, 1), (2, 19), (25, 8)])
def test_dense_evaluation_equals_patch_by_patch_at_every_pixel(
    model: AdaConv, height: int, width: int
) -> None:
    first, second = torch.rand(2, 2, 3, height, width)
    expected = patch_by_patch(model, first, second)
    assert expected.std() > 0.05
    inference_model = model.for_inference()
    inference_model.tile = 16
    for network in (model, inference_model):
        torch.testing.assert_close(network(first, second), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_dense_evaluation_of_the_network_of_the_paper_equals_patch_by_patch() -> None:
    torch.manual_seed(0)
    model = AdaConv().eval().requires_grad_(False)
    model.layers[-1].weight.mul_(20)  # type: ignore[operator]
    first, second = torch.rand(2, 1, 3, 9, 10)
    expected = patch_by_patch(model, first, second)
    torch.testing.assert_close(model.for_inference()(first, second), expected, atol=1e-4, rtol=0)


def test_tiles_equal_the_full_frame(model: AdaConv) -> None:
    first, second = torch.rand(2, 1, 3, 40, 50)
    prepared, full = model.prepare(first, second), model(first, second)
    for rows, columns in ((slice(3, 17), slice(0, 50)), (slice(39, 40), slice(11, 12))):
        torch.testing.assert_close(
            model.render_tile(prepared, rows, columns), full[..., rows, columns]
        )


def test_kernels_of_one_pixel_equal_those_of_dense_evaluation(model: AdaConv) -> None:
    first, second = torch.rand(2, 1, 3, PATCH + STRIDE, PATCH)
    dense = model.kernels(first, second)
    assert dense.shape == (1, 2, 9, 9, 2, 1)
    for row in (0, 1):
        one = model.kernels_at(first, second, x=MARGIN, y=MARGIN + row * STRIDE)
        torch.testing.assert_close(one, dense[..., row, 0])


def test_the_first_kernels_filter_the_first_frame(model: AdaConv) -> None:
    nn.init.zeros_(model.layers[-1].weight)  # type: ignore[arg-type]
    model.layers[-1].bias[: 9 * 9] = 100.0  # type: ignore[index]
    first, second = torch.zeros(1, 3, 10, 10), torch.ones(1, 3, 10, 10)
    torch.testing.assert_close(model(first, second), first)


def test_matrix_convolution_equals_conv2d() -> None:
    fast = MatrixConvolution(3, 5, 4)
    convolution = nn.Conv2d(3, 5, 4)
    convolution.load_state_dict(fast.state_dict())
    features = torch.rand(2, 3, 7, 9)
    torch.testing.assert_close(fast(features), convolution(features), atol=1e-5, rtol=1e-5)


def test_borders_are_reflected_repeatedly() -> None:
    device = torch.device("cpu")
    assert reflect_indices(100, device)[:41].tolist() == [*range(39, 0, -1), 0, 1]
    assert reflect_indices(3, device)[39 - 4 : 39 + 7].tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    assert set(reflect_indices(1, device).tolist()) == {0}


def test_saved_weights_and_statistics_are_loaded(model: AdaConv, tmp_path: Path) -> None:
    save_model(model, tmp_path / "a.safetensors", {})
    loaded = load_model(tmp_path / "a.safetensors")
    first, second = torch.rand(2, 1, 3, 12, 12)
    torch.testing.assert_close(loaded(first, second), model(first, second), atol=2e-2, rtol=0)
    assert loaded.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    "shapes", [((1, 3, 78, 90), (1, 3, 78, 90)), ((1, 3, 80, 90), (1, 3, 80, 91))]
)
def test_frames_that_are_too_small_or_unequal_are_refused_with_both_shapes(
    model: AdaConv, shapes: tuple
) -> None:
    first, second = (torch.rand(shape) for shape in shapes)
    both = ".*".join(re.escape(str(shape)) for shape in shapes)
    with pytest.raises(ValueError, match=both):
        model.kernels(first, second)


@pytest.mark.parametrize("wrong", [{"taps": 40}, {"taps": 81}, {"widths": (8, 8)}])
def test_invalid_configs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AdaConvConfig(**wrong)  # type: ignore[arg-type]
