"""Training with all data on the device, here the CPU."""

import copy
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from midframe.errors import ConfigError, TrainingError
from midframe.models.checkpoint import load_model
from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.models.sepconv import SepConv, SepConvConfig
from midframe.training.muon import Muon
from midframe.training.on_device import __main__ as command
from midframe.training.on_device import clips as clips_module
from midframe.training.on_device import cutting_cuda
from midframe.training.on_device.clips import ClipBank, fade, recolour
from midframe.training.on_device.crops import Crops
from midframe.training.on_device.cutting import CropPositions, cut_crops_reference
from midframe.training.on_device.decoding import Clip, choose_pieces, read_clip, usable_starts
from midframe.training.on_device.leg import learning_rate, loss_weights, train_leg
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.leg_data import LegData
from midframe.training.on_device.leg_network import create_network
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.overlays import Overlays
from midframe.training.on_device.photographs import Photographs, read_squares
from midframe.training.on_device.step import GraphedStep, StepShape

CPU = torch.device("cpu")
TINY = {
    "widths": (8, 8, 8, 8),
    "hidden": (8, 8, 8, 8),
    "radii": (0, 1, 1, 1),
    "taps": 3,
    "coarse_passes": 1,
}


def moving_clip(count: int = 12, height: int = 48, width: int = 64) -> Clip:
    """Encode the frame number in red, the row in green and the column in blue."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., 0] = 10 * np.arange(count)[:, None, None]
    frames[..., 1] = np.arange(height)[None, :, None] * 2
    frames[..., 2] = np.arange(width)[None, None] * 2
    return Clip(frames, list(range(count - 6)))


def test_pieces_end_at_cuts_and_those_with_most_motion_are_kept() -> None:
    differences = np.full(99, 1.0)
    differences[60:] = 4.0
    differences[39] = 90.0
    pieces = choose_pieces(differences, 1000)
    assert all(stop <= 40 or start >= 40 for start, stop in pieces)
    assert sum(stop - start for start, stop in pieces) == 100
    assert choose_pieces(differences, 40) == [(32, 40), (72, 100)]


def test_windows_with_a_duplicate_frame_are_dropped() -> None:
    differences = np.full(19, 3.0)
    differences[9] = 0.0
    starts = usable_starts(differences)
    assert starts == [0, 1, 2, 3, 10, 11, 12, 13]
    assert usable_starts(np.zeros(9)) == [0, 1, 2, 3]  # a static scene has no duplicates


def test_crops_have_the_pixels_and_times_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SHUFFLE_PROBABILITY",
        "FADE_PROBABILITY",
        "RECOLOUR_PROBABILITY",
        "SHIFT_PROBABILITY",
    ):
        monkeypatch.setattr(clips_module, name, 0.0)
    torch.manual_seed(0)
    bank = ClipBank([moving_clip()], [16, 32], CPU)
    crops = bank.sample(40, 32)
    red = torch.stack([frame[:, 0].mean((1, 2)) * 25.5 for frame in crops[:3]])
    times = (red[1] - red[0]) / (red[2] - red[0])
    assert torch.allclose(times, crops.t, atol=1e-4)
    for frame in crops[1:3]:
        assert torch.equal(frame[:, 1:], crops.first[:, 1:])  # the same place in all three frames
    steps = crops.first[:, 1:] * 127.5
    assert {round(float(step)) for step in (steps.amax((2, 3)) - steps.amin((2, 3))).flatten()} == {
        31
    }


def test_shifts_of_the_outer_frames_are_opposite(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHUFFLE_PROBABILITY", "FADE_PROBABILITY", "RECOLOUR_PROBABILITY"):
        monkeypatch.setattr(clips_module, name, 0.0)
    monkeypatch.setattr(clips_module, "SHIFT_PROBABILITY", 1.0)
    torch.manual_seed(1)
    crops = ClipBank([moving_clip()], [16], CPU).sample(40, 16)
    positions = [frame[:, 1:].mean((2, 3)) for frame in crops[:3]]
    assert torch.allclose((positions[0] + positions[2]) / 2, positions[1], atol=1e-5)
    assert float((positions[0] - positions[2]).abs().max()) > 4 / 127.5


def test_colours_change_equally_and_fades_linearly_in_all_frames() -> None:
    torch.manual_seed(2)
    frame = torch.rand(64, 3, 24, 24)
    crops = Crops(frame, frame, frame, torch.full((64,), 0.5))
    for first, middle, second in zip(*recolour(crops)[:3], strict=True):
        assert torch.equal(first, middle)
        assert torch.equal(first, second)
    first, middle, second, _ = fade(crops)
    assert torch.allclose((first + second) / 2, middle, atol=1e-6)


@pytest.mark.parametrize("target", [24, 16, 12])
def test_triton_cuts_the_same_crops_as_pytorch(target: int) -> None:
    torch.manual_seed(6)
    height, width, count = 40, 52, 9
    flat = torch.randint(0, 256, (2 * height * width * 3,), dtype=torch.uint8)
    rows, columns = torch.randint(0, height - 24, (count,)), torch.randint(0, width - 24, (count,))
    corner = (rows * width + columns) * 3 + (torch.arange(count) % 2) * height * width * 3
    flips = torch.rand(3, count) < 0.5
    colours = torch.rand(count, 3).argsort(1)
    lengths = torch.full((count,), width * 3)
    positions = CropPositions(corner, lengths, flips[0], flips[1], flips[2], colours)
    triton_crops, reference_crops = (
        cutting_cuda.cut_crops(flat, positions, 24, target),
        cut_crops_reference(flat, positions, 24, target),
    )
    assert torch.allclose(triton_crops, reference_crops, atol=1e-5)
    if target == 24:
        first = flat.view(2, height, width, 3)[
            0, rows[0] : rows[0] + 24, columns[0] : columns[0] + 24
        ]
        expected = first.permute(2, 0, 1)[colours[0]].float() / 255
        for flip, axis in zip(flips[:2, 0], (1, 2), strict=True):
            expected = expected.flip(axis) if flip else expected
        assert torch.equal(reference_crops[0], expected.mT if flips[2, 0] else expected)


def write_photograph(path: Path) -> Path:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (60, 80, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (800, 600), interpolation=cv2.INTER_CUBIC))
    return path


def test_photographs_are_rendered_to_moving_crops_at_several_times(tmp_path: Path) -> None:
    bank = Photographs([write_photograph(tmp_path / "one.png")], CPU)
    assert len(bank) == 1
    torch.manual_seed(3)
    crops = bank.sample(12, 32)
    assert crops.first.shape == (12, 3, 32, 32)
    assert set(crops.t.mul(6).round().int().tolist()) <= {1, 2, 3, 4, 5}
    assert float((crops.first - crops.second).abs().mean()) > 0.01
    near = torch.minimum(crops.t, 1 - crops.t) < 0.4
    assert near.any()
    assert 0 <= float(crops.middle.min()) <= float(crops.middle.max()) <= 1


def test_photographs_that_are_too_small_are_dropped(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((40, 40, 3), np.uint8))
    assert read_squares(tmp_path / "small.png") == []
    assert read_squares(tmp_path / "none.png") == []


def test_overlays_are_static_in_some_samples_and_move_in_others() -> None:
    torch.manual_seed(4)
    black = torch.zeros(48, 3, 64, 64)
    crops = Overlays(16, CPU).composite(Crops(black, black, black, torch.full((48,), 0.5)), 1.0)
    drawn = crops.first.flatten(1).amax(1) > 0.2
    static = (crops.first - crops.second).flatten(1).abs().amax(1) == 0
    assert (drawn & static).any()
    assert (drawn & ~static).any()
    none = Overlays(2, CPU).composite(Crops(black, black, black, torch.full((48,), 0.5)), 0.0)
    assert float(none.middle.max()) == 0


@pytest.mark.parametrize("max_layer_gain", [0.0, 0.9])
def test_graphed_muon_takes_the_steps_of_muon(max_layer_gain: float) -> None:
    torch.manual_seed(5)
    model = FlowSep(FlowSepConfig(**TINY))
    twin = copy.deepcopy(model)
    for weights in model.parameters():
        weights.grad = torch.randn_like(weights) * 1e-3
    for own, other in zip(twin.parameters(), model.parameters(), strict=True):
        own.grad = other.grad.clone()  # type: ignore[union-attr]
    before = [weights.detach().clone() for weights in model.parameters()]
    options = {"weight_decay": 0.01, "max_layer_gain": max_layer_gain}
    graphed, eager = GraphedMuon(model, **options), Muon(twin.parameters(), lr=1e-3, **options)
    graphed.rate.fill_(1e-3)
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
    graphed.step()
    eager.step()
    for own, other, old in zip(model.parameters(), twin.parameters(), before, strict=True):
        own, other = own.detach(), other.detach()
        difference, change = (own - other).norm(), (other - old).norm()
        assert float(difference / change) < 0.06  # both round to bfloat16, but at different places
    assert all(float(weights.grad.abs().max()) == 0 for weights in model.parameters())  # type: ignore[union-attr]


def test_a_step_with_nan_gradients_leaves_the_weights_unchanged() -> None:
    model = FlowSep(FlowSepConfig(**TINY))
    for weights in model.parameters():
        weights.grad = torch.full_like(weights, float("nan"))
    optimiser = GraphedMuon(model, 0.0)
    optimiser.rate.fill_(1e-3)
    before = [weights.detach().clone() for weights in model.parameters()]
    optimiser.step()
    assert all(torch.equal(own, old) for own, old in zip(model.parameters(), before, strict=True))


def test_the_learning_rate_warms_up_stays_constant_and_falls_to_zero() -> None:
    config = LegConfig(learning_rate=1.0, warm_up=10, cooling=0.5)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 99, 0.4) == 1.0
    assert learning_rate(config, 99, 0.75) == pytest.approx(0.5)
    assert learning_rate(config, 99, 1.0) == pytest.approx(0.0, abs=1e-9)


def write_video(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 255, (20, 30, 3), np.uint8), (192, 128))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (96, 64))
    for n in range(24):
        writer.write(np.ascontiguousarray(ground[n : n + 64, 2 * n : 2 * n + 96]))
    writer.release()


@pytest.mark.slow
def test_a_leg_trains_flowsep_and_the_next_leg_resumes_it(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "held_out").mkdir()
    write_video(tmp_path / "clips" / "one.avi", 0)
    write_video(tmp_path / "held_out" / "two.mp4", 1)
    (tmp_path / "clips" / "READY").touch()
    write_photograph(tmp_path / "photo.png")
    assert read_clip(tmp_path / "clips" / "one.avi", 100)
    config = LegConfig(
        clips=(str(tmp_path / "clips"), str(tmp_path / "late")),
        photographs=(str(tmp_path),),
        validation=str(tmp_path / "held_out"),
        network=TINY,
        shapes=(StepShape(32, (2, 1), border=4), StepShape(64, (1, 1), border=4, scale=2)),
        seconds=3600.0,
        steps=4,
        snapshots=1,
    )
    entries: list[dict[str, object]] = []
    scores = train_leg(config, tmp_path / "run", CPU, entries.append)
    assert scores.keys() == {"near_psnr", "far_psnr", "sharpness"}
    assert any("losses" in entry for entry in entries)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["network"]["taps"] == 3
    snapshot, final = (
        load_file(tmp_path / "run" / f"flowsep{each}.safetensors") for each in ("-1", "")
    )
    assert snapshot.keys() == final.keys()
    assert any((snapshot[name] != final[name]).any() for name in final)
    again = LegConfig(
        **{**config.__dict__, "resume_from": str(tmp_path / "run"), "seconds": 0.0}
    )  # no step
    resumed = train_leg(again, tmp_path / "next", CPU, entries.append)
    assert resumed == scores


def test_a_leg_trains_sepconv_on_middle_frames(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "one.avi", 0)
    (tmp_path / "clips" / "READY").touch()
    write_photograph(tmp_path / "photo.png")
    config = LegConfig(
        clips=(str(tmp_path / "clips"),),
        photographs=(str(tmp_path),),
        validation=str(tmp_path / "clips"),
        model="sepconv",
        network={"taps": 5, "widths": (4, 6, 8), "slope": 0.1},
        shapes=(StepShape(48, (2, 1), border=4),),
        max_layer_gain=1.4142,
        kernel_sum_penalty=1e-3,
        seconds=3600.0,
        steps=3,
    )
    entries: list[dict[str, object]] = []
    scores = train_leg(config, tmp_path / "run", CPU, entries.append)
    assert load_model(tmp_path / "run" / "sepconv.safetensors").config.slope == 0.1
    again = replace(config, resume_from=str(tmp_path / "run"), seconds=0.0)
    assert train_leg(again, tmp_path / "next", CPU, entries.append) == scores
    data = LegData(config, CPU, any_time=False)
    data.add_ready(wait=True)
    times = {any_time: set[float]() for any_time in (False, True)}
    for data.any_time in (False, True):
        for _ in range(8):
            times[data.any_time] |= set(data.draw_batch(config.shapes[0]).t.tolist())
    assert times[False] == {0.5}
    assert len(times[True]) > 1


def test_the_loss_of_a_sepconv_step_falls() -> None:
    torch.manual_seed(1)
    model = SepConv(SepConvConfig(taps=5, widths=(4, 6, 8), slope=0.1))
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, 0.0)
    step = GraphedStep(model, optimiser, StepShape(32, (2, 0), border=4))
    step.loss_weights.copy_(torch.tensor([1.0, 0.0, 0.0, 1e-3]))
    optimiser.rate.fill_(2e-3)
    crops = step.random_crops()
    shifted = Crops(crops.first, crops.first.roll(1, -1), crops.first.roll(2, -1), crops.t)
    losses = []
    for _ in range(30):
        step.run(shifted)
        losses.append(step.mean_losses()["l1"])
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "adaconv"}, "choose from flowsep, sepconv"),
        (
            {"model": "sepconv", "init_from": "flowsep", "shapes": (StepShape(64, (1, 0)),)},
            "weights of another network",
        ),
        ({"model": "sepconv", "shapes": (StepShape(64, (1, 0), scale=2),)}, "only flowsep"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        create_network(LegConfig(**changes))


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="no loss census: choose from l1, laplacian, mse"):
        loss_weights(LegConfig(loss={"census": 1.0}))


def test_resuming_from_a_leg_of_another_network_is_refused(tmp_path: Path) -> None:
    config = LegConfig(model="sepconv", network={"taps": 3, "widths": (2, 3)}, shapes=())
    train_leg(replace(config, seconds=0.0), tmp_path / "first", CPU, lambda entry: None)
    network = {"taps": 3, "widths": (2, 3, 4)}
    other = replace(config, network=network, resume_from=str(tmp_path / "first"))
    with pytest.raises(ConfigError, match="weights of another network"):
        train_leg(other, tmp_path / "second", CPU, lambda entry: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0: it must be 0 or more"),
        ({"cooling": 0.0}, "cooling is 0.0: it must be from 0 to 1, but not 0"),
        ({"overlays": (0.5, 1.5)}, "overlays is 1.5: it must be from 0 to 1"),
        ({"reductions": (0.5,)}, "reductions is 0.5: it must be 1 or more"),
        ({"shapes": (StepShape(32, (2, -1)),)}, "batch is -1: it must be 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LegConfig(**changes)


def test_an_invalid_setting_of_a_leg_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text("")
    for change, message in (
        ("minutes", "give key=value"),
        ("modell=flowsep", "no setting modell"),
        ("clips=films", "clips is 'films': give a list"),
        ("learning_rate=high", "learning_rate is 'high': give a value of type float"),
        ("loss.census=1", "no loss census"),
        ("shapes=[3]", "shapes has 3: give tables of size, batch"),
        ("shapes=[{}]", "give tables of size, batch"),
        ("validation=nowhere", "validation is nowhere: there is no such folder"),
        ("resume_from=nowhere", "it has no leg to resume"),
    ):
        arguments = [str(tmp_path / "a.toml"), "--run", str(tmp_path / "run"), "--set", change]
        monkeypatch.setattr(sys, "argv", ["on_device", *arguments])
        with pytest.raises(SystemExit, match=message):
            command.main()
    monkeypatch.setattr(sys, "argv", ["on_device", str(tmp_path / "b.toml"), "--run", "run"])
    with pytest.raises(SystemExit, match=r"b\.toml cannot be read"):
        command.main()


def test_a_finished_leg_is_not_replaced_and_weights_that_are_not_finite_are_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LegConfig(
        model="sepconv", network={"taps": 3, "widths": (2, 3)}, shapes=(), seconds=0.0
    )
    train_leg(config, tmp_path / "first", CPU, lambda entry: None)
    with pytest.raises(ConfigError, match="has a finished leg: name another folder"):
        train_leg(config, tmp_path / "first", CPU, lambda entry: None)
    nan = torch.full((1,), math.nan)
    monkeypatch.setattr(GraphedMuon, "reset", lambda leg: leg.average[0].copy_(nan))
    with pytest.raises(TrainingError, match="not finite after step 0"):
        train_leg(config, tmp_path / "second", CPU, lambda entry: None)
    assert not list((tmp_path / "second").glob("*.safetensors"))
