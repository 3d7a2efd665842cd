"""FlowSep: any time, any size, parts that equal the whole, and what it starts as."""

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
    for decoder in model.decoders:  # as if it had learnt something
        torch.nn.init.normal_(decoder.head.weight[:4], std=0.05)  # type: ignore[arg-type,union-attr,index]
        torch.nn.init.normal_(decoder.head.weight[4:], std=0.005)  # type: ignore[arg-type,union-attr,index]
    model.falls_back = False
    return model


@pytest.mark.parametrize("levels", [0, 1, 2, 4])
def test_levels_that_look_bidirectional_levels_say_the_same_of_both_orders(
    model: FlowSep, levels: int
) -> None:
    model.config = dataclasses.replace(TINY, bidirectional_levels=levels)
    first, second = frames(64, 96)
    there, back = model.estimate(first, second, 0.3), model.estimate(second, first, 0.7)
    apart = [
        abs(one - swap_frames(other)).max()
        for one, other in zip(there.flows, back.flows, strict=True)
    ]
    assert [bool(each < 1e-4) for each in apart] == [level < levels for level in range(4)]


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of PyTorch itself
def test_it_can_be_compiled_by_pytorch(model: FlowSep) -> None:
    first, second = frames(64, 64)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            expected = model(first, second, 0.3)
            torch.testing.assert_close(compiled(first, second, 0.3), expected, atol=1e-4, rtol=0)


def test_it_grows_from_a_smaller_one_that_has_learnt(model: FlowSep) -> None:
    first, second = frames()
    # Two ways would hide some of what one way says, a choice between flows would make much of it.
    model.config = dataclasses.replace(TINY, bidirectional_levels=0, propagation_distance=0)
    larger = dataclasses.replace(model.config, widths=(6, 8, 8, 12), hidden=(8, 12, 10, 16))
    grow = widen(model, larger).eval()
    grow.falls_back = False
    assert grow.config == larger
    with torch.no_grad():
        change = (grow(first, second, 0.3) - model(first, second, 0.3)).abs().mean()
        assert change < 0.05 * (model(first, second, 0.3) - (first + second) / 2).abs().mean()
    for other in ({"widths": (3, 4, 8, 8)}, {"radii": (0, 1, 2, 3)}):
        with pytest.raises(ValueError, match="may differ, and no width may become smaller"):
            widen(model, dataclasses.replace(model.config, **other))


def test_ways_to_look_have_no_weights(model: FlowSep) -> None:
    settings = {"bidirectional_levels": 3, "propagation_distance": 2, "dominant_motions": 1}
    other = widen(model, dataclasses.replace(TINY, **settings))
    assert settings.items() <= dataclasses.asdict(other.config).items()
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items()
    )


def test_a_grown_network_may_have_longer_kernels_of_the_same_values(model: FlowSep) -> None:
    longer = widen(model, dataclasses.replace(TINY, taps=7)).eval()
    longer.falls_back = False
    first, second = frames()
    torch.testing.assert_close(
        longer(first, second, 0.3), model(first, second, 0.3), atol=1e-5, rtol=1e-4
    )


def test_a_grown_network_may_have_shorter_kernels_without_their_outer_taps(model: FlowSep) -> None:
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


def test_a_grown_network_may_resample_in_another_way(model: FlowSep) -> None:
    other = widen(model, dataclasses.replace(TINY, resampling="cubic"))
    assert other.config.resampling == "cubic"
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items()
    )


def test_resampling_is_linear_unless_the_form_says_otherwise(model: FlowSep) -> None:
    form = {**dataclasses.asdict(TINY), "resampling": "cubic"}
    cubic = build_model("flowsep", form).eval()
    cubic.load_state_dict(model.state_dict())
    cubic.falls_back = False
    first, second = (each + 0.1 * torch.rand(each.shape) for each in frames())
    del form["resampling"]
    assert build_model("flowsep", form).config.resampling == "linear"
    assert (cubic(first, second) - model(first, second)).abs().max() > 1e-3


def test_what_is_new_in_a_grown_network_learns(model: FlowSep) -> None:
    grow = widen(model, dataclasses.replace(TINY, widths=(6, 8, 10, 12), hidden=(10, 12, 10, 16)))
    (grow(*frames(64, 64)) ** 2).mean().backward()
    assert all(
        layer.weight.grad.abs().sum() > 0
        for layer in grow.modules()
        if isinstance(layer, torch.nn.Conv2d)
    )


def test_it_starts_near_the_average_of_both_frames() -> None:
    torch.manual_seed(0)
    first, second = frames(64, 96)
    model = FlowSep()
    model.falls_back = False  # these frames have nothing in common
    with torch.no_grad():
        made = model(first, second)
    assert abs(made - (first + second) / 2).mean() < 0.06


@pytest.mark.parametrize(
    ("name", "million", "gmac"), [("flowsep-small", 1.05, 3.84), ("flowsep", 2.45, 7.84)]
)
def test_the_model_cards_state_weights_and_computation(
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
def test_frames_of_any_size_are_made(model: FlowSep, size: tuple[int, int]) -> None:
    first, second = frames(*size)
    made = model(first, second)
    assert made.shape == first.shape
    assert made.isfinite().all()


@pytest.mark.parametrize("scale", [1, 2])
def test_parts_equal_the_whole(model: FlowSep, scale: int) -> None:
    model.scale = scale
    first, second = frames()
    prepared = model.prepare(first, second)
    whole = model.render_tile(prepared, slice(0, 70), slice(0, 93), 0.3)
    for rows, columns in (
        (slice(0, 32), slice(5, 50)),
        (slice(31, 70), slice(64, 93)),
        (slice(40, 41), slice(9, 10)),
    ):
        part = model.render_tile(prepared, rows, columns, 0.3)
        torch.testing.assert_close(part, whole[..., rows, columns], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
def test_training_and_making_are_the_same(model: FlowSep, scale: int) -> None:
    model.scale = scale
    first, second = frames(64, 96)
    estimate = model.estimate(first, second, 0.25, scale)
    torch.testing.assert_close(
        model.synthesise(first, second, estimate), model(first, second, 0.25), atol=1e-4, rtol=1e-4
    )


def test_every_sample_has_its_own_time(model: FlowSep) -> None:
    first, second = frames()
    together = model(first.repeat(2, 1, 1, 1), second.repeat(2, 1, 1, 1), torch.tensor([0.2, 0.9]))
    for made, time in zip(together, (0.2, 0.9), strict=True):
        torch.testing.assert_close(made[None], model(first, second, time), atol=1e-4, rtol=1e-4)


def test_either_end_shows_its_frame(model: FlowSep) -> None:
    for decoder in model.decoders:
        torch.nn.init.zeros_(decoder.head.weight[4:])  # type: ignore[union-attr,index,arg-type]  # flows alone
    first, second = frames()
    for time, frame in ((0.0, first), (1.0, second)):
        assert abs(model(first, second, time) - frame).max() < 0.01


def test_kernels_change_no_brightness(model: FlowSep) -> None:
    torch.nn.init.zeros_(model.decoders[0].head.weight[-3:])  # type: ignore[union-attr,index,arg-type]  # no residual
    first = torch.full((1, 3, 40, 40), 0.7)
    torch.testing.assert_close(model(first, first), first, atol=1e-4, rtol=1e-4)


@pytest.fixture
def wild(model: FlowSep) -> FlowSep:
    """A network whose flows lead anywhere, and whose residuals are large."""
    torch.nn.init.normal_(model.decoders[0].head.weight, std=0.3)  # type: ignore[arg-type,union-attr]
    model.falls_back = True
    return model


def psnr(made: Tensor, expected: Tensor) -> float:
    return float(-10 * (made.detach() - expected).square().mean().clamp(min=1e-12).log10())


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(70, 93), (1, 1), (7, 200)])
@pytest.mark.parametrize("gradients", [False, True])
def test_the_same_frame_twice_comes_back(
    wild: FlowSep, scale: int, size: tuple[int, int], resampling: Resampling, gradients: bool
) -> None:
    wild.scale, wild.config = scale, dataclasses.replace(TINY, resampling=resampling)
    frame = torch.rand(1, 4, *size)
    for time in (0.0, 0.3, 1.0):
        with torch.set_grad_enabled(gradients):
            assert psnr(wild(frame, frame, time), frame) > 100


def test_a_noisy_still_scene_becomes_the_mean_by_time(wild: FlowSep) -> None:
    first, second = frames()
    second = first + (torch.rand(first.shape) - 0.5) / 255
    with torch.no_grad():
        made = wild(first, second, 0.25)
    assert psnr(made, torch.lerp(first, second, 0.25)) > 100


def test_a_still_area_beside_a_moving_one_is_exact_and_parts_equal_the_whole(wild: FlowSep) -> None:
    torch.nn.init.zeros_(wild.decoders[0].head.weight[:4])  # type: ignore[union-attr,index,arg-type]
    for decoder in wild.decoders[1:]:  # so no flow leads from one to the other
        torch.nn.init.zeros_(decoder.head.weight)  # type: ignore[union-attr,arg-type]
    first, second = frames()
    second = torch.cat((first[..., :50], second[..., 50:]), dim=3)
    with torch.no_grad():
        prepared = wild.prepare(first, second)
        whole = wild.render_tile(prepared, slice(0, 70), slice(0, 93), 0.3)
        torch.testing.assert_close(whole[..., :40], first[..., :40], atol=1e-5, rtol=1e-5)
        assert (whole - first)[..., 60:].abs().mean() > 0.01
        part = wild.render_tile(prepared, slice(11, 60), slice(30, 71), 0.3)
        torch.testing.assert_close(part, whole[..., 11:60, 30:71], atol=1e-4, rtol=1e-4)


def test_the_frame_changes_continuously_as_a_still_area_begins_to_move(wild: FlowSep) -> None:
    first, second = frames()
    apart, made = torch.linspace(0, 0.02, 81), []
    with torch.no_grad():
        for share in apart:
            made.append(wild(first, torch.lerp(first, second, share), 0.5))
    steps = torch.stack([(one - other).abs().max() for one, other in itertools.pairwise(made)])
    assert steps.max() < 0.2 * (made[-1] - made[0]).abs().max()


def test_a_checkerboard_that_inverts_is_not_still(wild: FlowSep) -> None:
    board = ((torch.arange(64) + torch.arange(64)[:, None]) % 2).float().expand(1, 3, 64, 64)
    with torch.no_grad():
        found = wild.predict(wild.prepare(board, 1 - board))
    unchanged = fall_back(found.fields, found.confidence, 0 * found.confidence, HALF)
    torch.testing.assert_close(found.final_fields, unchanged)


def test_a_fourth_channel_goes_along(model: FlowSep) -> None:
    first, second = frames(channels=4)
    made = model(first, second)
    torch.testing.assert_close(
        made[:, :3], model(first[:, :3], second[:, :3]), atol=1e-5, rtol=1e-5
    )
    flat = [
        torch.cat((each[:, :3], torch.full_like(each[:, :1], 0.5)), dim=1)
        for each in (first, second)
    ]
    torch.testing.assert_close(
        model(*flat)[:, 3], torch.full((1, 70, 93), 0.5), atol=1e-4, rtol=1e-4
    )


def test_large_frames_are_read_reduced() -> None:
    sizes = {
        (256, 448): 1,
        (576, 720): 1,
        (720, 1280): 2,
        (1080, 1920): 2,
        (1200, 1200): 2,
        (2160, 3840): 4,
    }
    assert {size: scale_for(*size) for size in sizes} == sizes


@pytest.mark.parametrize(("scale", "looks"), [(4, 1), (2, 2), (1, 3)])
def test_what_is_read_larger_than_usual_begins_where_it_is_small(
    model: FlowSep, monkeypatch: pytest.MonkeyPatch, scale: int, looks: int
) -> None:
    monkeypatch.setattr(
        scales, "MAX_ROWS", 20
    )  # so frames of 70 rows are usually read four times smaller
    for decoder in model.decoders:
        torch.nn.init.zeros_(decoder.head.weight)  # type: ignore[union-attr,arg-type]
    torch.nn.init.ones_(model.decoders[-1].head.bias[:4])  # type: ignore[union-attr,index,arg-type]
    model.scale = scale
    prepared = model.prepare(*frames())
    with (
        torch.no_grad()
    ):  # every look at the coarsest level says one pixel of its own, 8 of the fields
        flow = model.predict(prepared).fields[:, :4]
    torch.testing.assert_close(flow, torch.full_like(flow, 8.0 * (2**looks - 1)))


@pytest.mark.parametrize("size", [(70, 93), (47, 200)])
def test_parts_of_what_is_read_larger_than_usual_equal_the_whole(
    model: FlowSep, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    first, second = frames(*size)
    model.scale = 1
    usual = model(first, second, 0.3)
    monkeypatch.setattr(scales, "MAX_ROWS", 20)
    whole = model(first, second, 0.3)
    assert (whole - usual).abs().max() > 1e-3
    part = model.render_tile(model.prepare(first, second), slice(9, 40), slice(5, 77), 0.3)
    torch.testing.assert_close(part, whole[..., 9:40, 5:77], atol=1e-4, rtol=1e-4)


def test_wrong_forms_are_told() -> None:
    for form, complaint in (
        ({"taps": 4}, "taps is 4"),
        ({"widths": (1, 2)}, "widths are"),
        ({"radii": (-1,) * 4}, "radii"),
        ({"bidirectional_levels": 5}, "bidirectional_levels is 5"),
        ({"propagation_distance": -1}, "propagation_distance is -1"),
        ({"dominant_motions": 9}, "dominant_motions is 9"),
        ({"resampling": "sinc"}, "resampling is 'sinc': choose from linear, cubic"),
    ):
        with pytest.raises(ValueError, match=complaint):
            build_model("flowsep", form)


def test_warping_fetches_from_where_the_flow_leads() -> None:
    features = torch.randn(1, 2, 9, 11)
    flow = torch.zeros(1, 2, 9, 11)
    flow[:, 0], flow[:, 1] = 3, -1
    torch.testing.assert_close(warp(features, flow)[..., 2:, :7], features[..., 1:-1, 3:10])


def test_the_guide_is_content_with_the_flow_of_every_level() -> None:
    flows = torch.tensor([4.0, -2.0, -4.0, 2.0]).view(1, 2, 2, 1, 1).expand(1, 2, 2, 32, 48)
    trust = torch.ones(1, 2, 32, 48)
    right = [flows.flatten(1, 2)[..., ::factor, ::factor] / factor for factor in (16, 8, 4, 2)]
    assert flow_loss(right, flows, trust) == pytest.approx(0, abs=1e-6)
    wrong = flow_loss([each + 1 for each in right], flows, trust)
    assert wrong > 5
    assert flow_loss([each + 1 for each in right], flows, trust * 0) == 0


def test_it_is_saved_and_loaded_and_takes_exact_times(model: FlowSep, tmp_path: Path) -> None:
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


def test_how_small_frames_are_read_can_be_chosen(model: FlowSep) -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    tools = [
        Interpolator(model, device="cpu", precision="float32", scale=scale)
        for scale in (None, 1, 2)
    ]
    made = [tool.interpolate(first, second) for tool in tools]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[1], made[2])
    assert tools[1].identity != tools[2].identity
    with pytest.raises(ValueError, match="scale is 3: 1, 2, 4"):
        Interpolator(model, scale=3)
    with pytest.raises(ValueError, match="SepConv processes frames at full resolution only"):
        Interpolator(build_model("sepconv", {"widths": [4, 8], "taps": 3}), scale=2)
