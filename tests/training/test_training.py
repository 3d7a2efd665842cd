import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training import toy
from lightning.fabric import Fabric
from safetensors import safe_open
from safetensors.torch import load_file

from midframe.data.create import create_dataset
from midframe.data.create_config import CreateConfig
from midframe.data.shards import ShardWriter
from midframe.data.triplets import Selection
from midframe.errors import CheckpointError, ConfigError, DatasetError, TrainingError
from midframe.metrics import psnr
from midframe.models.checkpoint import NETWORKS, build_model, load_model, save_model
from midframe.models.network import Network
from midframe.models.sepconv import SepConv
from midframe.training import aliases
from midframe.training.config import TrainConfig, config_from, load_config
from midframe.training.curves import draw_curves, read_log
from midframe.training.loop import train
from midframe.training.precision import training_precision
from midframe.training.run_folder import RunFolder
from midframe.training.samples import (
    RequestSampler,
    TrainingSamples,
    choose_frames,
    compute_t,
    open_shards,
)
from midframe.training.schedule import learning_rate
from midframe.training.validation import MAX_VALIDATION_PSNR, validate

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def dataset(tmp_path: Path, frame: Callable[..., np.ndarray]) -> Path:
    """Write eight triplets for training, two for validation and one validation frame."""
    folder = tmp_path / "set"
    for split, count in (("train", 8), ("validation", 2), ("validation_frames", 1)):
        (folder / split).mkdir(parents=True)
        with ShardWriter(folder / split / "a.tar") as shard:
            for index in range(count):
                shard.write(
                    f"a-{index}", np.stack([frame(index + t, 80, 80) for t in (0, 1, 2)]), {}
                )
    return folder


@pytest.mark.slow
def test_the_loss_falls_in_a_toy_training_of_sepconv(dataset: Path, tmp_path: Path) -> None:
    entries: list[dict] = []
    model = build_model("sepconv", {"widths": [8, 16], "taps": 9, "paper": True})
    for head in model.heads:
        torch.nn.init.constant_(head.last.bias, 0.3)  # frames that are much too bright
    save_model(model, tmp_path / "bright.safetensors", {})
    config = toy(
        dataset,
        steps=80,
        evaluate_every=20,
        crops=[[0.0, 32]],
        learning_rate=8e-3,
        network={},
        init_from=str(tmp_path / "bright.safetensors"),
    )
    train(config, tmp_path / "run", progress=entries.append)
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses[-1] < 0.1 * losses[0]
    scores = [entry["patch_psnr"] for entry in entries if "patch_psnr" in entry]
    assert scores[-1] > scores[0]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"config.json", "log.jsonl", "curves.png", "last.pt", "best.safetensors"}
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert load_model(tmp_path / "run" / "best.safetensors").config.taps == 9


def test_dead_relus_are_logged(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_model("sepconv", {"widths": [8, 8, 16], "taps": 9})
    dead = model.enlarge[0].smooth
    torch.nn.init.constant_(dead.bias, -100.0)
    save_model(model, tmp_path / "dead.safetensors", {})
    entries: list[dict] = []
    weights = str(tmp_path / "dead.safetensors")
    train(
        toy(dataset, steps=2, init_from=weights, network={}),
        tmp_path / "run",
        progress=entries.append,
    )
    assert entries[-1]["least_active_relu"] == 0
    assert [record.args[0] for record in caplog.records if "dead ReLU" in record.msg] == [
        "enlarge.0.activation"
    ]


class CrashError(Exception):
    """Simulates a machine that crashes."""


def crash_at(step: int) -> Callable[[dict], None]:
    def crash(entry: dict) -> None:
        if entry["step"] == step:
            raise CrashError

    return crash


OLD_NAMES = """
optimiser = "muon"
initial = "sepconv"
made_share = 0.5
half_share = 0.125
largest_gain = 1.5
average = 0.9
guide = 0.25
guide_share = 0.75
tether = 0.001
"""


def test_old_names_of_settings_are_accepted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.toml").write_text(OLD_NAMES)
    config = load_config(tmp_path / "old.toml", ["guide=0.5", "network.taps=9"])
    assert (config.init_from, config.synthetic_fraction, config.half_res_probability) == (
        "sepconv",
        0.5,
        0.125,
    )
    assert (config.max_layer_gain, config.ema_decay, config.kernel_sum_penalty) == (1.5, 0.9, 0.001)
    assert (config.flow_supervision, config.flow_supervision_fraction) == (0.5, 0.75)
    assert "setting guide was renamed to flow_supervision" in caplog.messages
    with pytest.raises(ConfigError, match="made_share and synthetic_fraction are one setting"):
        config_from({"made_share": 0.5, "synthetic_fraction": 0.5})


def test_every_old_name_refers_to_an_existing_setting() -> None:
    assert set(aliases.SETTINGS.values()) <= set(TrainConfig.__dataclass_fields__)


def test_a_run_with_old_names_of_settings_is_resumed(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, optimiser="muon", max_layer_gain=2.0, ema_decay=0.9)
    train(config, tmp_path / "new")
    with pytest.raises(CrashError):
        train(config, tmp_path / "old", progress=crash_at(12))
    old_names = {new: old for old, new in aliases.SETTINGS.items()}
    path = tmp_path / "old" / "config.json"
    settings = {
        old_names.get(name, name): value for name, value in json.loads(path.read_text()).items()
    }
    assert settings["largest_gain"] == 2.0
    path.write_text(json.dumps(settings))
    last = torch.load(tmp_path / "old" / "last.pt", weights_only=True)
    (group,) = last["optimiser"]["param_groups"]
    group["largest_gain"] = group.pop("max_layer_gain")
    last["average"], last["chance"] = last.pop("ema"), last.pop("rng_state")
    torch.save(last, tmp_path / "old" / "last.pt")
    train(config, tmp_path / "old", resume=True)
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("new", "old")]
    assert all(
        torch.equal(value, states[1]["model"][name]) for name, value in states[0]["model"].items()
    )


def test_a_run_of_an_older_version_is_resumed(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, optimiser="muon")
    with pytest.raises(CrashError):
        train(config, tmp_path / "run", progress=crash_at(12))
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    del settings["max_layer_gain"]  # which the older version did not have
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings))
    last = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    del last["optimiser"]["param_groups"][0]["max_layer_gain"]
    torch.save(last, tmp_path / "run" / "last.pt")
    with pytest.raises(ConfigError, match="differ"):
        train(toy(dataset, optimiser="muon", max_layer_gain=2.0), tmp_path / "run", resume=True)
    train(config, tmp_path / "run", resume=True)
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["state"]["step"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamax", "adamw", "muon"])
def test_a_resumed_run_gives_bit_identical_weights(
    dataset: Path, tmp_path: Path, optimiser: str
) -> None:
    config = toy(dataset, optimiser=optimiser, crops=[[0.0, 32], [0.5, 48]])
    train(config, tmp_path / "uninterrupted")

    with pytest.raises(CrashError):
        train(config, tmp_path / "resumed", progress=crash_at(12))
    assert torch.load(tmp_path / "resumed" / "last.pt", weights_only=True)["state"]["step"] == 6
    train(config, tmp_path / "resumed", resume=True)
    weights = [
        load_file(tmp_path / name / "best.safetensors") for name in ("uninterrupted", "resumed")
    ]
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)
        for name in ("uninterrupted", "resumed")
    ]
    assert states[0]["state"]["step"] == states[1]["state"]["step"] == 12
    for name in ("model", "ema"):
        for key, value in states[0][name].items():
            assert torch.equal(value, states[1][name][key]), key
    assert weights[0].keys() == weights[1].keys()


def test_a_run_without_a_checkpoint_is_resumed_from_the_first_step(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = toy(dataset, steps=2, evaluate_every=2)
    train(config, tmp_path / "uninterrupted")
    run = RunFolder(tmp_path / "stopped", config)
    run.open(resume=False)
    run.close()
    train(config, tmp_path / "stopped", resume=True)
    assert "stopped before its first checkpoint: training from the first step" in caplog.text
    uninterrupted, stopped = (
        torch.load(tmp_path / name / "last.pt", weights_only=True)
        for name in ("uninterrupted", "stopped")
    )
    assert stopped["state"]["step"] == 2
    assert all(
        torch.equal(value, stopped["model"][key]) for key, value in uninterrupted["model"].items()
    )


def test_a_process_that_loads_data_and_is_killed_ends_a_run_with_one_error(
    dataset: Path, tmp_path: Path
) -> None:
    def kill_loader(entry: dict[str, float]) -> None:
        if entry["step"]:
            (loader,) = multiprocessing.active_children()
            loader.kill()

    config = toy(dataset, steps=40000, evaluate_every=40000, workers=1)
    with pytest.raises(TrainingError, match=r"as for lack of memory .* with --resume"):
        train(config, tmp_path / "run", progress=kill_loader)


def test_a_run_is_resumed_after_its_dataset_was_moved(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, steps=2, evaluate_every=1)
    train(config, tmp_path / "whole")
    train(replace(config, steps=1), tmp_path / "moved")
    moved = dataset.rename(tmp_path / "elsewhere")
    train(replace(config, dataset=str(moved)), tmp_path / "moved", resume=True)
    last = json.loads((tmp_path / "moved" / "config.json").read_text())["dataset"]
    assert last == str(moved)


def test_without_validation_samples_the_last_weights_are_saved_as_the_best(
    dataset: Path, tmp_path: Path
) -> None:
    for split in ("validation", "validation_frames"):
        shutil.rmtree(dataset / split)
    train(toy(dataset, steps=2, evaluate_every=1), tmp_path / "run")
    assert "NaN" not in (tmp_path / "run" / "log.jsonl").read_text()
    with safe_open(tmp_path / "run" / "best.safetensors", "pt") as best:
        assert json.loads(best.metadata()["training"])["step"] == 2


@pytest.mark.slow
def test_a_checkpoint_is_saved_before_the_first_validation(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midframe.training.loop.CHECKPOINT_SECONDS", 0)
    config = toy(dataset, steps=24, evaluate_every=24)
    train(config, tmp_path / "uninterrupted")
    with pytest.raises(CrashError):
        train(config, tmp_path / "resumed", progress=crash_at(20))
    kept = torch.load(tmp_path / "resumed" / "last.pt", weights_only=True)["state"]["step"]
    assert kept == 19  # the entry of step 20 comes before its checkpoint
    train(config, tmp_path / "resumed", resume=True)
    weights = [
        load_file(tmp_path / name / "best.safetensors") for name in ("uninterrupted", "resumed")
    ]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_after_its_step(
    dataset: Path, tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = toy(dataset, crops=[[0.0, 32]], evaluate_every=12)
    train(config, tmp_path / "uninterrupted")

    def interrupt(entry: dict) -> None:
        signal.raise_signal(number)  # before the first step

    with signal_interrupts(number), pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "resumed", progress=interrupt)
    assert "step 1 is saved" in caplog.text
    assert "continue with --resume" in caplog.text
    train(config, tmp_path / "resumed", resume=True)
    weights = [
        load_file(tmp_path / name / "best.safetensors") for name in ("uninterrupted", "resumed")
    ]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@contextmanager
def signal_interrupts(number: int) -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt, as the command line does, and check that its handler is
    restored afterwards."""
    before = signal.signal(number, signal.default_int_handler)
    yield
    assert signal.signal(number, before) is signal.default_int_handler


def test_a_second_interruption_stops_at_once(dataset: Path, tmp_path: Path) -> None:
    def interrupt(entry: dict) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with signal_interrupts(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        train(toy(dataset), tmp_path / "run", progress=interrupt)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_a_finished_run_is_resumed_only_with_more_steps(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, steps=2, crops=[[0.0, 32]])
    train(config, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"is finished, at step 2: .*steps .*init_from="):
        train(config, tmp_path / "run", resume=True)
    entries: list[dict] = []
    extended = replace(config, steps=4, evaluate_every=2)
    train(extended, tmp_path / "run", resume=True, progress=entries.append)
    assert [entry["step"] for entry in entries if "patch_psnr" in entry] == [4]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == 4


def test_a_gradient_clip_of_0_disables_clipping(dataset: Path, tmp_path: Path) -> None:
    weights = []
    for clip in (0.0, 1e9):
        run = tmp_path / f"run{clip}"
        train(toy(dataset, steps=2, gradient_clip=clip, crops=[[0.0, 32]]), run)
        weights.append(load_file(run / "best.safetensors"))
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_the_average_of_both_frames_is_scored_once_as_a_baseline(
    dataset: Path, tmp_path: Path
) -> None:
    entries: list[dict] = []
    config = toy(dataset, steps=2, evaluate_every=1, crops=[[0.0, 32]])
    train(config, tmp_path / "run", progress=entries.append)
    (entry,) = [entry for entry in entries if "average_patch_psnr" in entry]
    assert entry["step"] == 0
    assert entry.keys() == {"step", "seconds", "average_patch_psnr", "average_frame_psnr"}
    shards = open_shards(dataset, "validation_frames")
    first, middle, second = torch.from_numpy(shards.read_frames(0, (0, 1, 2))) / 255
    assert entry["average_frame_psnr"] == pytest.approx(
        psnr((first + second) / 2, middle), abs=0.01
    )
    assert [entry["step"] for entry in entries if "loss" in entry] == [
        2
    ]  # a short run logs only its last step


@dataclass(frozen=True)
class BlendConfig:
    width: int = 4


class Blend(Network):
    any_time = True

    def __init__(self, config: BlendConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = torch.nn.Conv2d(6, 1, config.width + 1, padding=config.width // 2)

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, t: torch.Tensor | float = 0.5
    ) -> torch.Tensor:
        mask = self.layer(torch.cat((first, second), dim=1)).sigmoid()
        return mask * first + (1 - mask) * second


def test_a_custom_network_is_trained(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "blend", (Blend, BlendConfig))
    config = toy(dataset, steps=2, model="blend", network={"width": 2}, crops=[[0.0, 32]])
    train(config, tmp_path / "run")
    assert load_model(tmp_path / "run" / "best.safetensors").config == BlendConfig(2)
    with pytest.raises(ConfigError, match="blend has no flow supervision"):
        train(replace(config, flow_supervision=0.1), tmp_path / "other")


def test_runs_do_not_overwrite_each_other(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(CheckpointError, match="no run to resume"):
        train(toy(dataset), run, resume=True)
    run.mkdir()
    (run / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="contains a run already"):
        train(toy(dataset), run)
    with pytest.raises(ConfigError, match="differ"):
        train(toy(dataset), run, resume=True)


def test_a_missing_dataset_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a dataset"):
        train(toy(tmp_path / "nowhere"), tmp_path / "run")


def test_an_invalid_network_raises_an_error(dataset: Path, tmp_path: Path) -> None:
    for network in ({"tapz": 3}, {"taps": 4}):
        with pytest.raises(ConfigError, match="tap"):
            train(toy(dataset, network=network), tmp_path / f"run{network}")


def test_training_starts_from_initial_weights(
    dataset: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    settings = {
        "init_from": str(tiny_weights),
        "network": {},
        "steps": 2,
        "learning_rate": 0.0,
        "evaluate_every": 2,
    }
    train(toy(dataset, **settings), tmp_path / "run")
    before, after = load_file(tiny_weights), load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
    with pytest.raises(ConfigError, match="another config"):
        train(toy(dataset, **{**settings, "network": {"taps": 11}}), tmp_path / "other")


def test_initial_weights_of_another_network_are_refused(
    dataset: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    settings = {"init_from": str(tiny_weights), "network": {}}
    with pytest.raises(ConfigError, match=r"model is flowsep, but .* is sepconv: set model"):
        train(toy(dataset, **settings, model="flowsep"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"network is .* no setting"):
        train(toy(dataset, **{**settings, "network": {"depth": 3}}), tmp_path / "run")


def test_training_starts_from_the_mean_of_several_weights(
    dataset: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    tripled = load_model(str(tiny_weights))
    tripled.load_state_dict({name: 3 * values for name, values in tripled.state_dict().items()})
    save_model(tripled, tmp_path / "tripled.safetensors", {})
    both = f"{tiny_weights}, {tmp_path / 'tripled.safetensors'}"
    settings = {"network": {}, "steps": 2, "learning_rate": 0.0, "evaluate_every": 2}
    train(toy(dataset, init_from=both, **settings), tmp_path / "run")
    before, after = load_file(tiny_weights), load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(2 * before[key], after[key]) for key in before)
    with pytest.raises(ConfigError, match="different configs"):
        train(toy(dataset, init_from=f"{tiny_weights},sepconv", **settings), tmp_path / "other")


ADACONV = {
    "model": "adaconv",
    "network": {"widths": [8, 8, 8, 8, 8], "taps": 9},
    "crops": [[0.0, 80]],
    "max_shift": 0,
}


@pytest.mark.slow
def test_the_loss_falls_in_a_toy_training_of_adaconv(dataset: Path, tmp_path: Path) -> None:
    entries: list[dict] = []
    config = toy(
        dataset,
        **ADACONV,
        steps=80,
        evaluate_every=40,
        flow_supervision=0.1,
        flow_supervision_fraction=2.0,
        learning_rate=1e-2,
    )
    scores = train(config, tmp_path / "run", progress=entries.append)
    logged = [entry for entry in entries if "loss" in entry]
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert logged[-1]["flow_supervision"] < logged[0]["flow_supervision"]
    assert all(math.isfinite(score) for score in scores.values())
    assert load_model(tmp_path / "run" / "best.safetensors").config.taps == 9


FLOWSEP = {"widths": [4, 4, 8, 8], "hidden": [8, 8, 8, 8], "radii": [0, 1, 2, 2], "taps": 3}


@pytest.fixture
def long_samples(tmp_path: Path, frame: Callable[..., np.ndarray]) -> Path:
    """Write eight samples of seven frames for training and two for validation."""
    folder = tmp_path / "long"
    for split, count in (("train", 8), ("validation", 2)):
        (folder / split).mkdir(parents=True)
        with ShardWriter(folder / split / "a.tar") as shard:
            for index in range(count):
                shard.write(
                    f"a-{index}", np.stack([frame(index + t / 2, 80, 80) for t in range(7)]), {}
                )
    return folder


@pytest.mark.slow
def test_the_loss_falls_in_a_toy_training_of_flowsep(long_samples: Path, tmp_path: Path) -> None:
    entries: list[dict] = []
    config = toy(
        long_samples,
        model="flowsep",
        network=FLOWSEP,
        steps=60,
        evaluate_every=30,
        optimiser="adamw",
        flow_supervision=0.05,
    )
    scores = train(config, tmp_path / "run", progress=entries.append)
    logged = [entry for entry in entries if "loss" in entry]
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert set(scores) == {"patch_psnr", "quarter_psnr"}  # the dataset has no validation frames
    assert scores["quarter_psnr"] > 15
    assert load_model(tmp_path / "run" / "best.safetensors").any_time


def test_weights_of_a_smaller_flowsep_initialise_a_larger_one(
    dataset: Path, tmp_path: Path
) -> None:
    small = {
        "model": "flowsep",
        "crops": [[0.0, 32]],
        "max_shift": 0,
        "steps": 2,
        "evaluate_every": 2,
    }
    train(toy(dataset, **{**small, "network": FLOWSEP}), tmp_path / "small")
    weights = str(tmp_path / "small" / "best.safetensors")
    larger = {**FLOWSEP, "widths": [4, 8, 8, 12]}
    scores = train(
        toy(dataset, **{**small, "network": larger, "init_from": weights}), tmp_path / "larger"
    )
    assert all(math.isfinite(score) for score in scores.values())
    assert load_model(tmp_path / "larger" / "best.safetensors").config.widths == (4, 8, 8, 12)
    smaller = {**FLOWSEP, "widths": [4, 4, 4, 4]}
    with pytest.raises(ConfigError, match="may differ, and no width may become smaller"):
        train(
            toy(dataset, **{**small, "network": smaller, "init_from": weights}), tmp_path / "other"
        )


def test_frames_are_chosen_at_several_distances_and_times() -> None:
    rng = np.random.default_rng(0)
    middles = {choose_frames(7, rng, any_time=False) for _ in range(100)}
    assert middles == {(2, 3, 4), (1, 3, 5), (0, 3, 6)}
    chosen = {choose_frames(7, rng, any_time=True) for _ in range(1000)}
    assert all(0 <= first < middle < second <= 6 for first, middle, second in chosen)
    assert {compute_t(each) for each in chosen} >= {Fraction(step, 6) for step in range(1, 6)} | {
        Fraction(1, 4)
    }
    assert choose_frames(3, rng, any_time=True) == (0, 1, 2)


def test_samples_are_reversed_half_the_time(long_samples: Path) -> None:
    data = TrainingSamples(toy(long_samples, crops=[[0.0, 32]]), any_time=True)
    times = [float(data[number, 32, 1]["t"]) for number in range(300)]
    assert sum(time < 0.5 for time in times) == pytest.approx(
        sum(time > 0.5 for time in times), abs=40
    )


def test_statistics_of_batch_normalisation_are_resumed(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, **ADACONV, steps=4, evaluate_every=2, batch=2)
    train(config, tmp_path / "uninterrupted")

    with pytest.raises(CrashError):
        train(config, tmp_path / "resumed", progress=crash_at(4))
    train(config, tmp_path / "resumed", resume=True)
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["ema"]
        for name in ("uninterrupted", "resumed")
    ]
    assert any("running_var" in name for name in states[0])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_psnr_of_identical_frames_is_limited(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    with ShardWriter(tmp_path / "validation" / "a.tar") as shard:
        shard.write("a-0", np.full((3, 80, 80, 3), 40, np.uint8), {})
    config = toy(tmp_path, **ADACONV)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    assert (
        validate(build_model("adaconv", config.network), config, fabric)["patch_psnr"]
        == MAX_VALIDATION_PSNR
    )


def test_mixed_precision_does_not_convert_inputs() -> None:
    layer = torch.nn.Linear(3, 2, bias=False)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[training_precision("bf16-mixed")])
    dtypes = []
    layer.register_forward_hook(
        lambda _, inputs, output: dtypes.extend([inputs[0].dtype, output.dtype])
    )
    assert fabric.setup_module(layer)(torch.rand(4, 3)).dtype == torch.float32
    assert dtypes == [torch.float32, torch.bfloat16]


def test_an_unknown_precision_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose from auto, 32-true"):
        train(toy(dataset, precision="bf16"), tmp_path / "run")


@pytest.mark.slow
def test_a_network_is_trained_on_a_dataset_created_from_videos(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(2):
        clip = render_video(f"clip{index}.mp4", frames=20, size=(120, 160), sound=False)
        clip.rename(folder / clip.name)
    create_dataset(
        folder, tmp_path / "set", CreateConfig(selection=Selection(size=80), per_clip=30), workers=1
    )
    scores = train(
        toy(tmp_path / "set", workers=1, precision="bf16-mixed", flow_supervision=0.1),
        tmp_path / "run",
    )
    assert math.isfinite(scores["patch_psnr"])
    assert math.isfinite(scores["frame_psnr"])


def test_settings_are_read_from_toml_and_overridden(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("batch = 8\nlearning_rate = 1\n[network]\ntaps = 25\n")
    config = load_config(
        path, ["batch=4", "network.taps=9", "optimiser=adamw", "crops=[[0, 64], [0.5, 96]]"]
    )
    assert (config.batch, config.learning_rate, config.optimiser) == (4, 1.0, "adamw")
    assert config.network == {"taps": 9}
    assert config.crops == ((0.0, 64), (0.5, 96))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batchh=4", "no setting batchh.*batch"),
        ("batch=four", "batch is 'four': .* type int"),
        ("batch=true", "batch is True"),
        ("batch", "key=value"),
        ("batch.size=3", "batch holds no settings"),
        ("optimiser=sgd", "adamax, adamw or muon"),
        ("crops=[[0.5, 64]]", r"start at 0\.0"),
        ("crops=64", "list of"),
        ("crops=[[0, 64], [0.8, 96], [0.5, 128]]", "in ascending order"),
        ("crops=[[0, 0]]", "sizes of 1 or more"),
        ("steps=0", "steps is 0: it must be 1 or more"),
        ("learning_rate=-1", r"learning_rate is -1.0: it must be 0 or more"),
        ("learning_rate=NaN", r"learning_rate is nan: it must be 0 or more"),
        ("loss.l1=Infinity", "loss is inf: it must be 0 or more"),
        ("workers=-1", "workers is -1: it must be 0 or more"),
        ("ema_decay=1.5", "ema_decay is 1.5: it must be from 0 to 1"),
        ("ema_decay=1", "below 1"),
        ("flow_supervision_fraction=0", "it must be 0 or more, but not 0"),
        ("minutes=-1", "0 or more"),
        ("seed=-1", "0 or more"),
        ('loss={"l1": 0}', "a weight above 0"),
        ("synthetic_fraction=2", "from 0 to 1"),
        ("devices=3", "multiple of 3"),
        ("max_layer_gain=2", "use muon"),
        ("loss={}", "a weight above 0 for each loss"),
    ],
)
def test_invalid_settings_raise_a_config_error(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text("batch = 8\n")
    with pytest.raises(ConfigError, match=message):
        load_config(path, [change])


def test_setting_steps_while_minutes_are_set_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("minutes = 5\n")
    with pytest.raises(ConfigError, match=r"minutes is 5 in .* --set minutes=0"):
        load_config(path, ["steps=3"])
    assert load_config(path, ["steps=3", "minutes=0"]).steps == 3
    assert load_config(path, ["minutes=2"]).minutes == 2


def test_unreadable_settings_raise_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("batch = = 3")
    with pytest.raises(ConfigError, match=r"a\.toml is not TOML"):
        load_config(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match=r"b\.toml cannot be read"):
        load_config(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_bytes("# größer\nbatch = 3".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"c\.toml is not TOML: 'utf-8' codec"):
        load_config(tmp_path / "c.toml")
    (tmp_path / "d.toml").write_text("batch = 3", encoding="utf-8-sig")
    assert load_config(tmp_path / "d.toml").batch == 3


def test_the_shipped_settings_are_valid() -> None:
    for path in CONFIGS.glob("*.toml"):
        config = load_config(path)
        build_model(config.model, config.network)


def test_the_learning_rate_warms_up_and_decays() -> None:
    config = TrainConfig(warm_up=10, learning_rate=1.0, steps=100)
    rates = [learning_rate(config, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] > 0.95
    assert rates[50] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_the_log_is_read_and_its_curves_are_drawn(tmp_path: Path) -> None:
    entries = [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.4},
        {"step": 2, "patch_psnr": 20.0, "frame_psnr": 21.0},
    ]
    lines = [json.dumps(entry) for entry in [*entries, {"step": 2, "loss": 0.3}]]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert [entry.get("loss") for entry in read_log(tmp_path)] == [0.5, None, 0.3]
    assert draw_curves(tmp_path).stat().st_size > 1000
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert read_log(tmp_path) == [{"step": 1, "loss": 0.5}]
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5, "guide": 2.0, "quietest": 0.1}')
    assert read_log(tmp_path) == [
        {"step": 1, "loss": 0.5, "flow_supervision": 2.0, "least_active_relu": 0.1}
    ]
    with pytest.raises(CheckpointError, match="name the folder of a training run"):
        read_log(tmp_path / "nowhere")


def test_a_truncated_log_is_repaired_and_damaged_files_of_a_run_are_refused(
    tmp_path: Path, tiny_model: SepConv
) -> None:
    folder = RunFolder(tmp_path / "run", toy(tmp_path))
    folder.open(resume=False)
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 1, "lo')
    folder.open(resume=True)
    folder.log_entry({"step": 2, "loss": 0.5})
    assert read_log(tmp_path / "run") == [{"step": 2, "loss": 0.5}]
    (tmp_path / "run" / "last.pt").touch()
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read .* init_from="):
        folder.load_checkpoint({}, tiny_model, tiny_model, torch.optim.Adam([torch.zeros(1)]))
    (tmp_path / "run" / "config.json").write_text("")
    with pytest.raises(CheckpointError, match=r"config\.json is not a file of settings"):
        folder.open(resume=True)
    folder.close()


def test_a_loss_that_is_not_finite_stops_the_training_and_saves_the_batch(
    dataset: Path, tmp_path: Path
) -> None:
    config = toy(dataset, learning_rate=1e30, gradient_clip=1e30, warm_up=0)
    with pytest.raises(TrainingError, match="not finite"):
        train(config, tmp_path / "run")
    batch = load_file(tmp_path / "run" / "bad-batch-0.safetensors")
    assert batch["first"].shape == (4, 3, 48, 48)


def test_the_speed_and_the_time_waiting_for_data_are_logged(dataset: Path, tmp_path: Path) -> None:
    entries: list[dict] = []
    train(toy(dataset, steps=20, crops=[[0.0, 32]]), tmp_path / "run", progress=entries.append)
    logged = next(entry for entry in entries if "loss" in entry)
    assert logged["samples_per_second"] > 0
    assert 0 <= logged["data_wait_fraction"] < 1


def test_samples_are_synthetic_with_the_given_probability(dataset: Path) -> None:
    (dataset / "synthetic").mkdir()
    with ShardWriter(dataset / "synthetic" / "b.tar") as shard:
        shard.write("b-0", np.full((3, 80, 80, 3), 7, np.uint8), {})
    for fraction in (0.0, 0.3, 1.0):
        data = TrainingSamples(toy(dataset, synthetic_fraction=fraction, max_shift=0))
        synthetic = [bool((data[number, 16, 1]["frames"] == 7).all()) for number in range(200)]
        assert sum(synthetic) == pytest.approx(200 * fraction, abs=25)


def test_a_batch_is_divided_among_devices() -> None:
    config = TrainConfig(batch=8)
    batch = next(iter(RequestSampler(config, 3, lambda _: 64)))
    shares = [next(iter(RequestSampler(config, 3, lambda _: 64, rank, 2))) for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == batch


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "flowsep", "kernel_sum_penalty": 0.1}, "remove kernel_sum_penalty"),
        ({"model": "adaconv", "crops": [[0.0, 64]]}, "must be 79 or more for adaconv"),
    ],
)
def test_settings_that_a_network_does_not_support_are_refused(
    long_samples: Path, tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        train(toy(long_samples, network={}, **{"crops": [[0.0, 64]], **changes}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_some_batches_are_processed_at_half_resolution(long_samples: Path, tmp_path: Path) -> None:
    requests = iter(RequestSampler(TrainConfig(batch=2, half_res_probability=0.3), 0, lambda _: 64))
    drawn = [next(requests) for _ in range(400)]
    assert all(one[2] == other[2] for one, other in drawn)
    assert sum(one[2] == 2 for one, _ in drawn) == pytest.approx(120, abs=35)
    with pytest.raises(ConfigError, match="remove kernel_sum_penalty"):
        train(
            toy(
                long_samples,
                kernel_sum_penalty=0.1,
                network={"widths": [4, 8], "taps": 5, "paper": True},
            ),
            tmp_path / "refused",
        )
    with pytest.raises(ConfigError, match="remove half_res_probability"):
        train(toy(long_samples, half_res_probability=0.5), tmp_path / "refused")
    with pytest.raises(ConfigError, match="must be multiples of 32"):
        train(
            toy(
                long_samples,
                model="flowsep",
                network={},
                crops=[[0.0, 48]],
                half_res_probability=0.5,
            ),
            tmp_path / "refused",
        )
    assert not (tmp_path / "refused").exists()
    network = {"widths": [4, 4, 4, 4], "hidden": [4, 4, 4, 4], "taps": 3}
    scores = train(
        toy(
            long_samples,
            model="flowsep",
            network=network,
            steps=2,
            crops=[[0.0, 32]],
            half_res_probability=1.0,
            flow_supervision=0.1,
        ),
        tmp_path / "run",
    )
    assert math.isfinite(scores["quarter_psnr"])


@pytest.mark.slow
def test_two_processes_learn_the_weights_of_one(dataset: Path, tmp_path: Path) -> None:
    """torchrun starts both processes, as on several machines; the mean of the gradients of both
    halves of a batch is that of the batch."""
    settings = asdict(toy(dataset, steps=4, evaluate_every=4))
    for name, devices, launcher in (
        ("one", 1, []),
        ("two", 2, ["-m", "torch.distributed.run", "--nproc-per-node=2"]),
    ):
        path = tmp_path / f"{name}.toml"
        path.write_text(
            "\n".join(
                f"{key} = {format_toml(value)}"
                for key, value in {**settings, "devices": devices}.items()
            )
        )
        command = [sys.executable, *launcher, "-m", "midframe", "train", str(path)]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        completed = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr[-2000:]
        assert completed.stdout.count("patch_psnr") >= 1
    states = [
        torch.load(tmp_path / "runs" / name / "last.pt", weights_only=True)["model"]
        for name in ("one", "two")
    ]
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], atol=2e-5, rtol=1e-4)


def format_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {format_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


RUN_WITHOUT_MODULES = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while "importlib" in frame.f_globals["__name__"]:
            frame = frame.f_back
        blocked = frame.f_globals["__name__"].partition(".")[0] in ("midframe", "torch")
        if blocked and name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])
sys.meta_path.insert(0, Blocker())
import warnings
warnings.simplefilter("ignore")
from pathlib import Path
from midframe.training.config import load_config
from midframe.training.loop import train
train(load_config(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_training_does_not_need_optional_packages(dataset: Path, tmp_path: Path) -> None:
    """It needs only torch, numpy, OpenCV, safetensors and lightning, the packages of a bare machine
    with a GPU."""
    missing = {
        "av",
        "halide",
        "webdataset",
        "PIL",
        "typer",
        "rich",
        "skimage",
        "matplotlib",
        "tensorboard",
        "scipy",
    }
    settings = asdict(toy(dataset, steps=2, evaluate_every=2))
    (tmp_path / "a.toml").write_text(
        "\n".join(f"{key} = {format_toml(value)}" for key, value in settings.items())
    )
    script = RUN_WITHOUT_MODULES.replace("{missing}", repr(missing))
    command = [sys.executable, "-c", script, str(tmp_path / "a.toml"), str(tmp_path / "run")]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert (tmp_path / "run" / "best.safetensors").exists()
    assert not (tmp_path / "run" / "curves.png").exists()


def test_crops_larger_than_the_samples_leave_no_run_folder(dataset: Path, tmp_path: Path) -> None:
    config = toy(dataset, crops=[[0.0, 48], [0.5, 96]])
    with pytest.raises(
        ConfigError, match=r"crops are up to 96 pixels, and the samples of .*a\.tar are 80x80: use"
    ):
        train(config, tmp_path / "run")
    with pytest.raises(DatasetError, match="is not a dataset"):
        train(toy(tmp_path / "nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_hidden_shards_are_skipped(dataset: Path, tmp_path: Path) -> None:
    (dataset / "train" / "._a.tar").write_bytes(b"\0\5\x16\7Mac OS X")
    assert len(TrainingSamples(toy(dataset)).footage) == 8
