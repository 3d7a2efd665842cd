"""FlowSep: any time, any size, tiles, widening and initialisation."""

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.flowsep import TINY, frames
from torch import Tensor

from midframe.interpolator import Interpolator
from midframe.models.checkpoint import build_model, load_model, save_model
from midframe.models.flowsep import FlowSep, scale_for, scales
from midframe.models.flowsep.confidence import fall_back
from midframe.models.flowsep.net2net import widen
from midframe.models.flowsep.network import swap_frames
from midframe.ops.resampling import RESAMPLINGS, Resampling
from midframe.ops.warping import warp
from midframe.training.flow_supervision import flow_loss

HALF = torch.full((1, 1, 1, 1), 0.5)


@pytest.fixture
def model() -> FlowSep:
    torch.manual_seed(0)
    model = FlowSep(TINY).eval()
    for decoder in model.decoders:  # as if it were trained
        torch.nn.init.normal_(decoder.head.weight[:4], std=0.05)  # type: ignore[arg-type,union-attr,index]
        torch.nn.init.normal_(decoder.head.weight[4:], std=0.005)  # type: ignore[arg-type,union-attr,index]
    model.falls_back = False
    return model


@pytest.mark.parametrize("levels", [0, 1, 2, 4])
def test_bidirectional_levels_give_the_same_flows_in_both_orders(
    model: FlowSep, levels: int
) -> None:
    model.config = dataclasses.replace(TINY, bidirectional_levels=levels)
    first, second = frames(64, 96)
    forward, backward = model.estimate(first, second, 0.3), model.estimate(second, first, 0.7)
    differences = [
        abs(one - swap_frames(other)).max()
        for one, other in zip(forward.flows, backward.flows, strict=True)
    ]
    assert [bool(each < 1e-4) for each in differences] == [level < levels for level in range(4)]


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of PyTorch itself
def test_it_can_be_compiled_by_pytorch(model: FlowSep) -> None:
    first, second = frames(64, 64)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            expected = model(first, second, 0.3)
            torch.testing.assert_close(compiled(first, second, 0.3), expected, atol=1e-4, rtol=0)


def test_a_widened_network_predicts_nearly_the_same_frame(model: FlowSep) -> None:
    first, second = frames()
    # Bidirectional levels would hide the difference, and flow propagation would amplify it.
    model.config = dataclasses.replace(TINY, bidirectional_levels=0, propagation_distance=0)
    larger = dataclasses.replace(model.config, widths=(6, 8, 8, 12), hidden=(8, 12, 10, 16))
    wide = widen(model, larger).eval()
    wide.falls_back = False
    assert wide.config == larger
    with torch.no_grad():
        change = (wide(first, second, 0.3) - model(first, second, 0.3)).abs().mean()
        assert change < 0.05 * (model(first, second, 0.3) - (first + second) / 2).abs().mean()
    for other in ({"widths": (3, 4, 8, 8)}, {"radii": (0, 1, 2, 3)}):
        with pytest.raises(ValueError, match="may differ, and no width may become smaller"):
            widen(model, dataclasses.replace(model.config, **other))


def test_bidirectional_levels_and_propagation_add_no_weights(model: FlowSep) -> None:
    settings = {"bidirectional_levels": 3, "propagation_distance": 2, "dominant_motions": 1}
    other = widen(model, dataclasses.replace(TINY, **settings))
    assert settings.items() <= dataclasses.asdict(other.config).items()
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items()
    )


def test_kernels_are_lengthened_without_changing_the_frame(model: FlowSep) -> None:
    longer = widen(model, dataclasses.replace(TINY, taps=7)).eval()
    longer.falls_back = False
    first, second = frames()
    torch.testing.assert_close(
        longer(first, second, 0.3), model(first, second, 0.3), atol=1e-5, rtol=1e-4
    )


def test_kernels_are_shortened_by_their_outer_taps(model: FlowSep) -> None:
    head = model.decoders[0].head
    taps = torch.arange(12) % 3
    with torch.no_grad():  # the outer taps are 0 in every kernel, so nothing is lost
        head.weight[4:16][taps != 1] = 0  # type: ignore[union-attr,index]
    shorter = widen(model, dataclasses.replace(TINY, taps=1)).eval()
    shorter.falls_back = False
    first, second = frames()
    torch.testing.assert_close(
        shorter(first, second, 0.3), model(first, second, 0.3), atol=1e-5, rtol=1e-4
    )


def test_the_resampling_may_change_when_a_network_is_widened(model: FlowSep) -> None:
    other = widen(model, dataclasses.replace(TINY, resampling="cubic"))
    assert other.config.resampling == "cubic"
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items()
    )


def test_resampling_is_linear_by_default(model: FlowSep) -> None:
    config = {**dataclasses.asdict(TINY), "resampling": "cubic"}
    cubic = build_model("flowsep", config).eval()
    cubic.load_state_dict(model.state_dict())
    cubic.falls_back = False
    first, second = (each + 0.1 * torch.rand(each.shape) for each in frames())
    del config["resampling"]
    assert build_model("flowsep", config).config.resampling == "linear"
    assert (cubic(first, second) - model(first, second)).abs().max() > 1e-3


def test_new_weights_of_a_widened_network_get_gradients(model: FlowSep) -> None:
    wide = widen(model, dataclasses.replace(TINY, widths=(6, 8, 10, 12), hidden=(10, 12, 10, 16)))
    (wide(*frames(64, 64)) ** 2).mean().backward()
    assert all(
        layer.weight.grad.abs().sum() > 0
        for layer in wide.modules()
        if isinstance(layer, torch.nn.Conv2d)
    )


def test_a_new_network_outputs_nearly_the_average_of_both_frames() -> None:
    torch.manual_seed(0)
    first, second = frames(64, 96)
    model = FlowSep()
    model.falls_back = False  # these frames are unrelated
    with torch.no_grad():
        output = model(first, second)
    assert abs(output - (first + second) / 2).mean() < 0.06


@pytest.mark.parametrize(
    ("name", "million", "gmac"), [("flowsep-small", 1.05, 3.84), ("flowsep", 2.45, 7.84)]
)
def test_shipped_networks_have_the_weights_and_operations_of_their_model_cards(
    name: str, million: float, gmac: float
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = load_model(name)
    weights = sum(each.numel() for each in model.parameters())
    assert weights == pytest.approx(million * 1e6, rel=0.01)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*frames(256, 448))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.03)


@pytest.mark.parametrize("size", [(70, 93), (1, 1), (16, 48), (7, 200)])
def test_frames_of_any_size_are_interpolated(model: FlowSep, size: tuple[int, int]) -> None:
    first, second = frames(*size)
    output = model(first, second)
    assert output.shape == first.shape
    assert output.isfinite().all()


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_equal_the_full_frame(model: FlowSep, scale: int) -> None:
    model.scale = scale
    first, second = frames()
    prepared = model.prepare(first, second)
    full = model.render_tile(prepared, slice(0, 70), slice(0, 93), 0.3)
    for rows, columns in (
        (slice(0, 32), slice(5, 50)),
        (slice(31, 70), slice(64, 93)),
        (slice(40, 41), slice(9, 10)),
    ):
        tile = model.render_tile(prepared, rows, columns, 0.3)
        torch.testing.assert_close(tile, full[..., rows, columns], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
def test_training_and_inference_give_the_same_frame(model: FlowSep, scale: int) -> None:
    model.scale = scale
    first, second = frames(64, 96)
    estimate = model.estimate(first, second, 0.25, scale)
    torch.testing.assert_close(
        model.synthesise(first, second, estimate), model(first, second, 0.25), atol=1e-4, rtol=1e-4
    )


def test_every_sample_has_its_own_time(model: FlowSep) -> None:
    first, second = frames()
    together = model(first.repeat(2, 1, 1, 1), second.repeat(2, 1, 1, 1), torch.tensor([0.2, 0.9]))
    for output, time in zip(together, (0.2, 0.9), strict=True):
        torch.testing.assert_close(output[None], model(first, second, time), atol=1e-4, rtol=1e-4)


def test_times_0_and_1_give_the_source_frames(model: FlowSep) -> None:
    for decoder in model.decoders:
        torch.nn.init.zeros_(decoder.head.weight[4:])  # type: ignore[union-attr,index,arg-type]  # only the flow remains
    first, second = frames()
    for time, frame in ((0.0, first), (1.0, second)):
        assert abs(model(first, second, time) - frame).max() < 0.01


def test_kernels_preserve_brightness(model: FlowSep) -> None:
    torch.nn.init.zeros_(model.decoders[0].head.weight[-3:])  # type: ignore[union-attr,index,arg-type]  # no residual
    first = torch.full((1, 3, 40, 40), 0.7)
    torch.testing.assert_close(model(first, first), first, atol=1e-4, rtol=1e-4)


@pytest.fixture
def random_model(model: FlowSep) -> FlowSep:
    """Return a network with large random flows and residuals."""
    torch.nn.init.normal_(model.decoders[0].head.weight, std=0.3)  # type: ignore[arg-type,union-attr]
    model.falls_back = True
    return model


def psnr(output: Tensor, expected: Tensor) -> float:
    return float(-10 * (output.detach() - expected).square().mean().clamp(min=1e-12).log10())


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(70, 93), (1, 1), (7, 200)])
@pytest.mark.parametrize("gradients", [False, True])
def test_two_equal_frames_are_returned_unchanged(
    random_model: FlowSep,
    scale: int,
    size: tuple[int, int],
    resampling: Resampling,
    gradients: bool,
) -> None:
    random_model.scale, random_model.config = (
        scale,
        dataclasses.replace(TINY, resampling=resampling),
    )
    frame = torch.rand(1, 4, *size)
    for time in (0.0, 0.3, 1.0):
        with torch.set_grad_enabled(gradients):
            assert psnr(random_model(frame, frame, time), frame) > 100


def test_a_noisy_static_scene_is_blended_by_time(random_model: FlowSep) -> None:
    first, second = frames()
    second = first + (torch.rand(first.shape) - 0.5) / 255
    with torch.no_grad():
        output = random_model(first, second, 0.25)
    assert psnr(output, torch.lerp(first, second, 0.25)) > 100


def test_a_static_area_next_to_a_moving_one_is_copied_in_tiles_too(random_model: FlowSep) -> None:
    torch.nn.init.zeros_(random_model.decoders[0].head.weight[:4])  # type: ignore[union-attr,index,arg-type]
    for decoder in random_model.decoders[1:]:  # so that no flow connects both areas
        torch.nn.init.zeros_(decoder.head.weight)  # type: ignore[union-attr,arg-type]
    first, second = frames()
    second = torch.cat((first[..., :50], second[..., 50:]), dim=3)
    with torch.no_grad():
        prepared = random_model.prepare(first, second)
        full = random_model.render_tile(prepared, slice(0, 70), slice(0, 93), 0.3)
        torch.testing.assert_close(full[..., :40], first[..., :40], atol=1e-5, rtol=1e-5)
        assert (full - first)[..., 60:].abs().mean() > 0.01
        tile = random_model.render_tile(prepared, slice(11, 60), slice(30, 71), 0.3)
        torch.testing.assert_close(tile, full[..., 11:60, 30:71], atol=1e-4, rtol=1e-4)


def test_the_frame_changes_continuously_when_a_static_area_begins_to_move(
    random_model: FlowSep,
) -> None:
    first, second = frames()
    weights, outputs = torch.linspace(0, 0.02, 81), []
    with torch.no_grad():
        for weight in weights:
            outputs.append(random_model(first, torch.lerp(first, second, weight), 0.5))
    steps = torch.stack([(one - other).abs().max() for one, other in itertools.pairwise(outputs)])
    assert steps.max() < 0.2 * (outputs[-1] - outputs[0]).abs().max()


def test_an_inverted_checkerboard_is_not_static(random_model: FlowSep) -> None:
    board = ((torch.arange(64) + torch.arange(64)[:, None]) % 2).float().expand(1, 3, 64, 64)
    with torch.no_grad():
        prediction = random_model.predict(random_model.prepare(board, 1 - board))
    unchanged = fall_back(prediction.fields, prediction.confidence, 0 * prediction.confidence, HALF)
    torch.testing.assert_close(prediction.final_fields, unchanged)


def test_a_fourth_channel_is_interpolated_with_the_flow_of_the_colours(model: FlowSep) -> None:
    first, second = frames(channels=4)
    output = model(first, second)
    torch.testing.assert_close(
        output[:, :3], model(first[:, :3], second[:, :3]), atol=1e-5, rtol=1e-5
    )
    flat = [
        torch.cat((each[:, :3], torch.full_like(each[:, :1], 0.5)), dim=1)
        for each in (first, second)
    ]
    torch.testing.assert_close(
        model(*flat)[:, 3], torch.full((1, 70, 93), 0.5), atol=1e-4, rtol=1e-4
    )


def test_large_frames_are_processed_at_reduced_resolution() -> None:
    sizes = {
        (256, 448): 1,
        (576, 720): 1,
        (720, 1280): 2,
        (1080, 1920): 2,
        (1200, 1200): 2,
        (2160, 3840): 4,
    }
    assert {size: scale_for(*size) for size in sizes} == sizes


@pytest.mark.parametrize(("scale", "passes"), [(4, 1), (2, 2), (1, 3)])
def test_a_scale_below_the_default_adds_coarse_passes(
    model: FlowSep, monkeypatch: pytest.MonkeyPatch, scale: int, passes: int
) -> None:
    monkeypatch.setattr(scales, "MAX_ROWS", 20)  # so the default scale of frames of 70 rows is 4
    for decoder in model.decoders:
        torch.nn.init.zeros_(decoder.head.weight)  # type: ignore[union-attr,arg-type]
    torch.nn.init.ones_(model.decoders[-1].head.bias[:4])  # type: ignore[union-attr,index,arg-type]
    model.scale = scale
    prepared = model.prepare(*frames())
    with torch.no_grad():  # every pass adds one pixel of its level, and 8 pixels of the fields
        flow = model.predict(prepared).fields[:, :4]
    torch.testing.assert_close(flow, torch.full_like(flow, 8.0 * (2**passes - 1)))


@pytest.mark.parametrize("size", [(70, 93), (47, 200)])
def test_tiles_equal_the_full_frame_at_a_scale_below_the_default(
    model: FlowSep, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    first, second = frames(*size)
    model.scale = 1
    default = model(first, second, 0.3)
    monkeypatch.setattr(scales, "MAX_ROWS", 20)
    full = model(first, second, 0.3)
    assert (full - default).abs().max() > 1e-3
    tile = model.render_tile(model.prepare(first, second), slice(9, 40), slice(5, 77), 0.3)
    torch.testing.assert_close(tile, full[..., 9:40, 5:77], atol=1e-4, rtol=1e-4)


def test_invalid_configs_are_refused() -> None:
    for config, message in (
        ({"taps": 4}, "taps is 4"),
        ({"widths": (1, 2)}, "widths are"),
        ({"radii": (-1,) * 4}, "radii"),
        ({"bidirectional_levels": 5}, "bidirectional_levels is 5"),
        ({"propagation_distance": -1}, "propagation_distance is -1"),
        ({"dominant_motions": 9}, "dominant_motions is 9"),
        ({"resampling": "sinc"}, "resampling is 'sinc': choose from linear, cubic"),
    ):
        with pytest.raises(ValueError, match=message):
            build_model("flowsep", config)


def test_warping_samples_at_the_positions_of_the_flow() -> None:
    features = torch.randn(1, 2, 9, 11)
    flow = torch.zeros(1, 2, 9, 11)
    flow[:, 0], flow[:, 1] = 3, -1
    torch.testing.assert_close(warp(features, flow)[..., 2:, :7], features[..., 1:-1, 3:10])


def test_the_flow_loss_is_zero_for_exact_flows_at_every_level() -> None:
    flows = torch.tensor([4.0, -2.0, -4.0, 2.0]).view(1, 2, 2, 1, 1).expand(1, 2, 2, 32, 48)
    confidence = torch.ones(1, 2, 32, 48)
    exact = [flows.flatten(1, 2)[..., ::factor, ::factor] / factor for factor in (16, 8, 4, 2)]
    assert flow_loss(exact, flows, confidence) == pytest.approx(0, abs=1e-6)
    wrong = flow_loss([each + 1 for each in exact], flows, confidence)
    assert wrong > 5
    assert flow_loss([each + 1 for each in exact], flows, confidence * 0) == 0


def test_a_saved_network_is_loaded_and_interpolates_at_fractional_times(
    model: FlowSep, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_model(model, path, {})
    assert load_model(path).config == TINY
    tool = Interpolator(str(path), device="cpu", precision="float32")
    first, second = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    thirds = tool.interpolate_many(first, second, [Fraction(1, 3), Fraction(2, 3)])
    tensors = [
        torch.from_numpy(each).permute(2, 0, 1)[None].float() / 255 for each in (first, second)
    ]
    expected = load_model(path)(*tensors, 1 / 3).clamp(0, 1) * 255
    assert abs(thirds[0].astype(float) - expected[0].permute(1, 2, 0).numpy()).max() <= 0.51


def test_the_scale_can_be_set(model: FlowSep) -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    tools = [
        Interpolator(model, device="cpu", precision="float32", scale=scale)
        for scale in (None, 1, 2)
    ]
    outputs = [tool.interpolate(first, second) for tool in tools]
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])
    assert tools[1].identity != tools[2].identity
    with pytest.raises(ValueError, match="scale is 3: 1, 2, 4"):
        Interpolator(model, scale=3)
    with pytest.raises(ValueError, match="SepConv processes frames at full resolution only"):
        Interpolator(build_model("sepconv", {"widths": [4, 8], "taps": 3}), scale=2)
