"""The training loop, read from top to bottom."""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from midframe.devices import training_precision
from midframe.errors import CheckpointError, ConfigError
from midframe.metrics import psnr
from midframe.models.checkpoint import build_model, channels_last, load_model, save_model
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.curves import draw_curves
from midframe.training.losses import OBJECTIVES
from midframe.training.samples import batches, open_shards, to_batch

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, Any]], None]
"""Called with what one step or one validation measured."""

CONFIG_FILE, LOG_FILE, LAST_FILE, BEST_FILE = "config.json", "log.jsonl", "last.pt", "best.safetensors"
LOG_EVERY = 20
"""Steps over which a logged loss is averaged."""
HIGHEST_PSNR = 60.0
"""What a sample that is made without any error counts in a mean, in dB."""


def train(
    config: TrainConfig, run: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, float]:
    """Train a network, or go on with a training that stopped.

    The run folder holds `config.json`, `log.jsonl`, TensorBoard events, `curves.png`, `last.pt` (everything needed to
    go on) and `best.safetensors` (the weights that scored best on the validation patches).

    Args:
        config: the settings; when resuming they must be those of the run.
        run: the folder of this training.
        resume: go on from `last.pt`. The result is the same as without the stop, if the schedule goes by steps.
        progress: told of every logged step and validation.

    Returns:
        The scores of the last validation: `patch_psnr` and `frame_psnr` in dB.

    Raises:
        ConfigError, DatasetError, CheckpointError: the run exists already, or cannot be gone on with.
    """
    _open_run(config, run, resume)
    torch.manual_seed(config.seed)
    fabric = Fabric(accelerator="auto", devices=1, precision=training_precision(config.precision))
    model, average = _network(config), _network(config)
    average.load_state_dict(model.state_dict())
    objective: nn.Module = OBJECTIVES[type(model)](model)
    objective, optimiser = fabric.setup(objective, _optimiser(config, model))
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf}
    if resume:
        _restore(run / LAST_FILE, state, model, average, optimiser)
    average.to(fabric.device)
    source = batches(config, state["step"], lambda step: _crop_size(config, _share(config, step, state["seconds"])))
    writer = SummaryWriter(str(run))
    scores: dict[str, float] = {}
    losses: list[dict[str, Tensor]] = []
    last_time = time.monotonic()

    while (share := _share(config, state["step"], state["seconds"])) < 1:
        rate = _learning_rate(config, state["step"], share)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = fabric.to_device(next(source))
        loss, parts = objective(batch, _guide_weight(config, share))
        fabric.backward(loss)
        fabric.clip_gradients(objective, optimiser, max_norm=config.gradient_clip)
        optimiser.step()
        optimiser.zero_grad()
        _move_average(average, model, min(config.average, (1 + state["step"]) / (10 + state["step"])))

        losses.append(parts)
        state["step"] += 1
        now = time.monotonic()
        state["seconds"], last_time = state["seconds"] + now - last_time, now
        if state["step"] % LOG_EVERY == 0:
            entry = {**_means(losses), "rate": rate, "size": batch.first.shape[-1]}
            _record(run, writer, state, entry, progress)
            losses.clear()
        if state["step"] % config.evaluate_every == 0 or _share(config, state["step"], state["seconds"]) >= 1:
            scores = evaluate(average, config, fabric)
            _record(run, writer, state, scores, progress)
            if scores["patch_psnr"] > state["best"]:
                state["best"] = scores["patch_psnr"]
                save_model(average, run / BEST_FILE, {"step": state["step"], **scores, "training": asdict(config)})
            _store(run / LAST_FILE, state, model, average, optimiser)
            draw_curves(run)
            last_time = time.monotonic()  # validations do not count against the schedule
    writer.close()
    return scores


@torch.no_grad()
def evaluate(model: Network, config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Score on the held-out clips: patches, and whole frames where the data set has some; mean PSNR in dB."""
    objective = OBJECTIVES[type(model.eval())](model)
    scores = {"patch_psnr": math.nan, "frame_psnr": math.nan}
    folders = (
        ("patch_psnr", "validation", config.validation_patches),
        ("frame_psnr", "whole", config.validation_frames),
    )
    for name, folder, most in folders:
        if not list((Path(config.dataset) / folder).glob("*.tar")):
            continue
        shards = open_shards(Path(config.dataset), folder)
        chosen = torch.linspace(0, len(shards) - 1, min(most, len(shards))).long().tolist()
        values = []
        for index in chosen:
            batch = fabric.to_device(to_batch(torch.from_numpy(shards.frames(index))[None]))
            with fabric.autocast():
                values.append(min(HIGHEST_PSNR, psnr(*objective.predict(batch))))
        scores[name] = sum(values) / len(values)
    return scores


def _open_run(config: TrainConfig, run: Path, resume: bool) -> None:
    path = run / CONFIG_FILE
    settings = json.loads(json.dumps(asdict(config)))
    if resume and not path.exists():
        raise CheckpointError(f"{run} holds no training to go on with: start it without --resume")
    if resume and json.loads(path.read_text()) != settings:
        raise ConfigError(f"the settings differ from those that {run} was begun with ({path})")
    if not resume and path.exists():
        raise ConfigError(f"{run} holds a training already: go on with --resume, or name another --run")
    run.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1))


def _network(config: TrainConfig) -> Network:
    if not config.initial:
        try:
            return channels_last(build_model(config.model, config.network))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the network cannot be made: {error}") from error
    model = load_model(config.initial)
    if config.network and type(model.config)(**config.network) != model.config:
        raise ConfigError(f"{config.initial} has another form than network asks for: leave network out, or train anew")
    return model.train().requires_grad_(True)


def _optimiser(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    kinds: dict[str, Any] = {"adamax": torch.optim.Adamax, "adamw": torch.optim.AdamW}
    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    optimiser: torch.optim.Optimizer = kinds[config.optimiser](model.parameters(), **options)
    return optimiser


def _share(config: TrainConfig, step: int, seconds: float) -> float:
    """The share of the training that is done, by steps or by time."""
    return seconds / 60 / config.minutes if config.minutes else step / config.steps


def _learning_rate(config: TrainConfig, step: int, share: float) -> float:
    warm = min(1.0, (step + 1) / max(1, config.warm_up))
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _crop_size(config: TrainConfig, share: float) -> int:
    return next(size for start, size in reversed(config.crops) if share >= start)


def _guide_weight(config: TrainConfig, share: float) -> float:
    return config.guide * max(0.0, 1 - share / config.guide_share) if config.guide else 0.0


def _means(losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each part of the loss over the steps that had it."""
    values = {name: [parts[name].item() for parts in losses if name in parts] for name in losses[0]}
    return {name: sum(each) / len(each) for name, each in values.items()}


def _move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        for old, new in zip(average.buffers(), model.buffers(), strict=True):  # statistics of batch normalisation
            old.lerp_(new, 1 - decay) if old.is_floating_point() else old.copy_(new)


def _record(
    run: Path, writer: SummaryWriter, state: dict[str, Any], entry: dict[str, float], progress: Progress | None
) -> None:
    entry = {"step": state["step"], "seconds": round(state["seconds"], 1), **entry}
    with (run / LOG_FILE).open("a") as file:
        file.write(json.dumps(entry) + "\n")
    for name in entry.keys() - {"step", "seconds"}:
        writer.add_scalar(name, entry[name], entry["step"])
    log.info("%s", entry)
    if progress:
        progress(entry)


def _store(
    path: Path, state: dict[str, Any], model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    content = {
        "state": state,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    unfinished = path.with_name(path.name + ".part")
    torch.save(content, unfinished)
    unfinished.replace(path)


def _restore(
    path: Path, state: dict[str, Any], model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist: this training stopped before its first checkpoint, start it anew"
        )
    content = torch.load(path, weights_only=True)
    state |= content["state"]
    for part, name in ((model, "model"), (average, "average"), (optimiser, "optimiser")):
        part.load_state_dict(content[name])
