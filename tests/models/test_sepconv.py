import pytest
import torch

from midframe.models.network import pair_statistics
from midframe.models.sepconv import SepConv, SepConvConfig

SMALL = {"widths": (4, 8, 8), "taps": 9}


def test_the_network_of_the_paper_has_21_68_million_parameters() -> None:
    parameters = sum(each.numel() for each in SepConv(SepConvConfig(paper=True)).parameters())
    assert parameters == 21_675_452


def test_paper_disables_every_later_improvement() -> None:
    for config, on in ((SepConvConfig(paper=True), False), (SepConvConfig(), True)):
        switches = {config.delayed_padding, config.pair_normalisation, config.kernel_normalisation}
        assert switches == {on}
    assert SepConvConfig(paper=True, slope=0.1).slope == 0


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 64), (33, 47), (1, 1)])
def test_the_output_has_the_size_of_the_input(paper: bool, height: int, width: int) -> None:
    model = SepConv(SepConvConfig(**SMALL, paper=paper))
    frames = torch.rand(2, 2, 3, height, width)
    kernels = model.kernels(frames[0], frames[1])
    assert all(kernel.shape == (2, 9, height, width) for kernel in kernels)
    assert model(frames[0], frames[1]).shape == (2, 3, height, width)


@pytest.mark.parametrize("paper", [False, True])
def test_activations_of_a_new_network_keep_their_scale(paper: bool) -> None:
    torch.manual_seed(0)
    model = SepConv(SepConvConfig(paper=paper))
    scales: list[float] = []
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(
                lambda _module, _inputs, output: scales.append(output.square().mean().sqrt().item())
            )
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(2, 1, 3, 128, 128, generator=generator)
    with torch.no_grad():
        model.kernels(frames[0], frames[1])
    assert len(scales) == 3 * 5 + 3 * 4 + 4 + 4 * 3  # encoder, decoder, upsampling, heads
    assert min(scales) > 0.05
    assert max(scales) < 50


def test_a_slope_prevents_dead_relus() -> None:
    frames = torch.rand(2, 2, 3, 64, 64)
    for slope, dead in ((0.0, True), (0.1, False)):
        torch.manual_seed(0)
        model = SepConv(SepConvConfig(**SMALL, slope=slope))
        for layer in (model.encoder[-1][0], model.enlarge[0].smooth, model.heads[0].body[4]):
            torch.nn.init.constant_(layer.bias, -100.0)  # below zero for any input
        sum(kernel.square().sum() for kernel in model.kernels(*frames)).backward()
        assert (model.encoder[-1][0].weight.grad.abs().max() == 0) == dead


def test_a_new_network_outputs_nearly_the_average_of_smooth_frames() -> None:
    torch.manual_seed(0)
    model = SepConv(SepConvConfig(widths=(8, 16, 16)))
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4), size=(64, 64), mode="bicubic")
    with torch.no_grad():
        output = model(smooth[:1], smooth[1:])
    assert (output - smooth.mean(0, keepdim=True)).abs().mean() < 0.05


def test_kernel_normalisation_preserves_a_flat_frame() -> None:
    torch.manual_seed(0)
    model = SepConv(SepConvConfig(**SMALL))
    flat = torch.full((1, 3, 40, 40), 0.3)
    with torch.no_grad():
        for head in model.heads:
            head.last.bias.mul_(1.7)
        torch.testing.assert_close(model(flat, flat), flat, atol=1e-5, rtol=1e-5)


def test_pair_normalisation_removes_brightness_and_contrast() -> None:
    torch.manual_seed(0)
    model = SepConv(SepConvConfig(**SMALL))
    first, second = torch.rand(2, 1, 3, 40, 40)
    with torch.no_grad():
        for kernel, other in zip(
            model.kernels(first, second),
            model.kernels(first * 0.4 + 0.2, second * 0.4 + 0.2),
            strict=True,
        ):
            torch.testing.assert_close(kernel, other, atol=1e-4, rtol=1e-3)


def test_pair_statistics_are_computed_over_both_frames() -> None:
    first, second = torch.rand(2, 2, 3, 5, 7)
    both = torch.stack((first, second), dim=1).flatten(1)
    statistics = pair_statistics(first, second)
    torch.testing.assert_close(statistics.mean.flatten(), both.mean(1))
    torch.testing.assert_close(statistics.deviation.flatten(), both.std(1, correction=0))


@pytest.mark.parametrize("wrong", [{"taps": 50}, {"taps": 65}, {"widths": (8,)}])
def test_invalid_configs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SepConvConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("paper", [False, True])
def test_a_new_network_outputs_nearly_the_average_of_noise(paper: bool) -> None:
    torch.manual_seed(0)
    model = SepConv(SepConvConfig(**SMALL, paper=paper))
    first, second = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        error = model(first, second) - (first + second) / 2
    assert error.abs().mean() < 0.25
