from types import SimpleNamespace

import pytest
import torch
from torch import nn

from midframe.models.checkpoint import build_model
from midframe.models.winograd import WinogradConvActivation, WinogradConvolution, use_winograd
from midframe.ops.winograd import TILE, halide, kernel_values, transforms


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_transforms_compute_a_row_of_outputs(size: int) -> None:
    torch.manual_seed(0)
    from_kernel, from_features, to_outputs = transforms(size)
    taps, row = (
        torch.randn(size, dtype=torch.float64),
        torch.randn(TILE + size - 1, dtype=torch.float64),
    )
    expected = torch.stack([row[start : start + size] @ taps for start in range(TILE)])
    output = to_outputs @ ((from_kernel @ taps) * (from_features @ row))
    torch.testing.assert_close(output, expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("shape", [(8, 8), (3, 3), (4, 11), (19, 6), (6, 5)])
@pytest.mark.parametrize("size", [3, 4])
def test_winograd_convolution_equals_conv2d(size: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 24, size).requires_grad_(False)
    features = torch.randn(2, 32, shape[0] + size - 1, shape[1] + size - 1)
    output = WinogradConvolution(convolution)(features)
    assert output.shape == (2, 24, *shape)
    torch.testing.assert_close(output, convolution(features), atol=2e-5, rtol=0)


def test_outputs_smaller_than_a_tile_are_computed_by_conv2d() -> None:
    convolution = nn.Conv2d(8, 8, 4).requires_grad_(False)
    features = torch.randn(2, 8, 4, 4)
    assert torch.equal(WinogradConvolution(convolution)(features), convolution(features))


def test_kernels_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="size is 5"):
        WinogradConvolution(nn.Conv2d(2, 2, 5))


@pytest.mark.parametrize("shape", [(16, 24), (1, 1), (3, 130), (37, 51), (2, 7)])
@pytest.mark.parametrize(("inputs", "outputs"), [(32, 32), (85, 28), (17, 33)])
def test_winograd_convolution_with_activation_equals_conv2d(
    inputs: int, outputs: int, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=inputs != 17).requires_grad_(False)
    features = torch.randn(2, inputs, *shape)
    for slope in (0.0, 0.1, 1.0):
        expected = nn.functional.leaky_relu(convolution(features), slope)
        with torch.no_grad():
            output = WinogradConvActivation(convolution, slope)(features)
        torch.testing.assert_close(output, expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("shape", [(16, 24), (1, 1), (3, 130), (37, 51)])
@pytest.mark.parametrize(("inputs", "outputs"), [(32, 32), (85, 28), (17, 33)])
def test_winograd_convolution_in_bfloat16_nearly_equals_conv2d(
    inputs: int, outputs: int, shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1).requires_grad_(False).bfloat16()
    features = torch.randn(2, inputs, *shape).bfloat16()
    expected = nn.functional.leaky_relu(convolution.float()(features.float()), 0.1)
    convolution = convolution.bfloat16()
    output = halide.convolve(
        features, *halide.prepare_kernels(convolution.weight, convolution.bias), outputs, 0.1
    )
    assert output.dtype == torch.bfloat16
    error = (output.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 0.04  # a missing channel would give 0.1 or more


def test_winograd_convolution_is_not_used_with_gradients() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 32, 3, padding=1)
    features = torch.randn(1, 32, 8, 8, requires_grad=True)
    winograd = WinogradConvActivation(convolution)
    assert torch.equal(winograd(features), convolution(features))
    assert winograd.prepared is None


@pytest.mark.parametrize("supported", [False, True])
def test_winograd_is_used_in_bfloat16_if_the_processor_supports_it(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 32, 3, padding=1).bfloat16()
    features = torch.randn(1, 32, 8, 8).bfloat16()
    monkeypatch.setattr(halide, "halide_supports_bfloat16", lambda: supported)
    monkeypatch.setattr(halide, "has_amx", lambda: False)
    winograd = WinogradConvActivation(convolution)
    with torch.no_grad():
        assert torch.equal(winograd(features), convolution(features)) != supported
    assert (winograd.prepared is not None) == supported


@pytest.mark.parametrize(
    ("name", "precision", "tolerance"),
    [
        ("flowsep", torch.float32, 1e-4),
        ("sepconv", torch.float32, 1e-4),
        ("sepconv", torch.bfloat16, 2e-2),
    ],
)
def test_an_accelerated_network_gives_the_same_frame(
    name: str, precision: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = build_model(name).eval().requires_grad_(False)
    monkeypatch.setattr(halide, "halide_supports_bfloat16", lambda: True)
    monkeypatch.setattr(halide, "has_amx", lambda: False)
    accelerated = network.for_inference(precision)
    calls: list[int] = []
    count = lambda *arguments: calls.append(1) or convolve(*arguments)  # noqa: E731
    convolve = halide.convolve
    first, second = torch.rand(2, 1, 3, 64, 96)
    with torch.inference_mode():
        accelerated(first, second)  # compiles the pipelines
        monkeypatch.setattr(halide, "convolve", count)
        torch.testing.assert_close(
            accelerated(first, second), network(first, second), atol=tolerance, rtol=0
        )
    assert (
        len(calls)
        == sum(isinstance(module, WinogradConvActivation) for module in accelerated.modules())
        > 10
    )


def test_only_suitable_layers_are_accelerated() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3, padding=1), nn.LeakyReLU(0.1),
        nn.Conv2d(32, 32, 3, padding=1), nn.Sigmoid(), nn.Conv2d(32, 4, 3, padding=1),
    )  # fmt: skip
    use_winograd(network)
    types = [type(layer).__name__.removesuffix("Convolution") for layer in network]
    assert types == [
        "Conv2d",
        "ReLU",
        "Conv2d",
        "ReLU",
        "Conv2d",
        "WinogradConvActivation",
        "Identity",
        "WinogradConvActivation",
        "Sigmoid",
        "Conv2d",
    ]
    assert [layer.slope for layer in network if isinstance(layer, WinogradConvActivation)] == [
        0.1,
        1.0,
    ]


def test_kernels_are_transformed_along_both_axes() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 7, 3, 3)
    values = kernel_values(weight)
    assert (values.shape, values.dtype) == ((36, 7, 5), torch.float32)
    assert values.is_contiguous()
    from_kernel = transforms(3)[0]
    expected = from_kernel @ weight[2, 4].double() @ from_kernel.T
    torch.testing.assert_close(values[:, 4, 2], expected.flatten().float())


@pytest.mark.parametrize("supported", [False, True])
@pytest.mark.parametrize("tiles", [False, True])
def test_features_of_few_channels_or_another_type_are_not_supported(
    supported: bool, tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halide, "halide_supports_bfloat16", lambda: supported)
    monkeypatch.setattr(halide, "has_amx", lambda: tiles)
    features = torch.zeros(1, 16, 2, 2)
    assert halide.supports(features)
    assert halide.supports(features.bfloat16()) == (supported and not tiles)
    assert not halide.supports(features[:, 1:])
    assert not halide.supports(features.double())


@pytest.mark.parametrize(
    ("feature", "supported"),
    [("AVX512_Zen4", True), ("AVX512_SapphireRapids", True), ("AVX2", False)],
)
def test_processors_with_bfloat16_instructions_are_recognised(
    feature: str, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = SimpleNamespace(has_feature=lambda each: each.name == feature)
    monkeypatch.setattr(halide.hl, "get_jit_target_from_environment", lambda: target)
    assert halide.halide_supports_bfloat16.__wrapped__() == supported


def test_kernels_of_size_0_are_refused() -> None:
    with pytest.raises(ValueError, match="size is 0: from 1 to 4 taps are possible"):
        transforms(0)
