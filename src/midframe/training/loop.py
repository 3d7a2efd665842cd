"""The training loop, read from top to bottom."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from midframe.errors import ConfigError, TrainingError
from midframe.models.checkpoint import (
    build_config,
    build_model,
    channels_last,
    load_model,
    network_name,
)
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.net2net import widen
from midframe.models.network import Network
from midframe.training.activity import Activity
from midframe.training.config import TrainConfig
from midframe.training.losses import ColourLoss
from midframe.training.muon import Muon
from midframe.training.objectives import OBJECTIVES, Batch, Objective
from midframe.training.precision import training_precision
from midframe.training.run_folder import BAD_BATCH_FILE, BEST_FILE, RunFolder
from midframe.training.samples import batches, check_data
from midframe.training.validation import evaluate

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, Any]], None]
"""Called with what some steps or one validation measured."""

LOG_EVERY = 20
"""Steps over which a logged loss is averaged."""
SILENT = 0.002
"""A ReLU that passes a smaller share of its inputs is told of."""


def train(
    config: TrainConfig, run: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, float]:
    """Train a network, or go on with a training that stopped.

    The run folder holds `config.json`, `log.jsonl`, TensorBoard events, `curves.png`, `last.pt` (everything needed to
    go on) and `best.safetensors` (the weights that scored best on the validation patches).

    On several devices every one runs this function (Fabric starts them, or torchrun does); the first one validates,
    writes and tells.

    Args:
        config: the settings; when resuming they must be those of the run.
        run: the folder of this training.
        resume: go on from `last.pt`. The result is the same as without the stop, if the schedule goes by steps.
        progress: told of every 20 steps (losses, samples a second, share of the time spent waiting for them) and of
            every validation.

    Returns:
        The scores of the last validation: `patch_psnr` and `frame_psnr` in dB.

    Raises:
        ConfigError, DatasetError, CheckpointError: the run exists already, or cannot be gone on with.
        TrainingError: the loss is no finite number; the batch that made it so lies in the run folder.
    """
    fabric = Fabric(
        devices=config.devices,
        num_nodes=config.machines,
        plugins=[training_precision(config.precision)],
    )
    fabric.launch()
    torch.manual_seed(config.seed)
    model, average = _network(config), _network(config)
    average.load_state_dict(model.state_dict())
    aim = _objective(config, model)
    check_data(config)  # what cannot be trained leaves no folder
    folder = RunFolder(run, config)
    if fabric.is_global_zero:
        folder.open(resume)
    fabric.barrier()
    objective, optimiser = fabric.setup(aim, _optimiser(config, model))
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf}
    if resume:
        folder.restore(state, model, average, optimiser)
    average.to(fabric.device)
    crop_size = lambda step: _crop_size(config, _share(config, step, state["seconds"]))  # noqa: E731  # of what comes next
    devices = {"rank": fabric.global_rank, "devices": fabric.world_size}
    source = Source(batches(config, state["step"], crop_size, any_time=model.any_time, **devices))
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
        norm = fabric.clip_gradients(objective, optimiser, max_norm=config.gradient_clip, error_if_nonfinite=False)
        if not torch.isfinite(loss) or not (torch.isfinite(norm) or config.precision == "16-mixed"):
            raise _bad_batch(folder, batch, state["step"], fabric.global_rank)
        optimiser.step()
        optimiser.zero_grad()
        _move_average(average, model, min(config.average, (1 + state["step"]) / (10 + state["step"])))

        losses.append(parts)
        state["step"] += 1
        now = time.monotonic()
        state["seconds"], last_time = state["seconds"] + now - last_time, now
        if fabric.world_size > 1 and config.minutes:
            state["seconds"] = fabric.broadcast(state["seconds"])  # all must stop at one step
        if state["step"] % LOG_EVERY == 0:
            entry = {**_means(losses), "rate": rate, "size": batch.first.shape[-1], **source.measured(config.batch)}
            _tell(fabric, folder, state, entry, progress)
            losses.clear()
        if state["step"] % config.evaluate_every == 0 or _share(config, state["step"], state["seconds"]) >= 1:
            if fabric.is_global_zero:
                with Activity(average) as activity:
                    scores = evaluate(average, config, fabric)
                _tell(fabric, folder, state, {**scores, **_quietest(activity)}, progress)
                if math.isnan(scores["patch_psnr"]) or scores["patch_psnr"] > state["best"]:  # or nothing is held out
                    state["best"] = scores["patch_psnr"]
                    folder.save(average, BEST_FILE, {"step": state["step"], **scores, "training": asdict(config)})
                folder.store(state, model, average, optimiser)
                folder.draw_curves()
            fabric.barrier()
            last_time = time.monotonic()  # validations do not count against the schedule
            source.begin()
    folder.close()
    return scores


class Source:
    """Batches, and how long the loop waits for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.begin()

    def begin(self) -> None:
        """Measure from now on."""
        self.started, self.waited, self.count = time.monotonic(), 0.0, 0

    def __next__(self) -> Batch:
        asked = time.monotonic()
        batch = next(self.batches)
        self.waited += time.monotonic() - asked
        self.count += 1
        return batch

    def measured(self, batch: int) -> dict[str, float]:
        """Samples a second, of all devices together, and the share of the time spent waiting; then begin anew."""
        seconds = time.monotonic() - self.started
        found = {"samples_per_second": self.count * batch / seconds, "waiting": self.waited / seconds}
        self.begin()
        return {name: round(value, 4) for name, value in found.items()}


def _tell(
    fabric: Fabric, folder: RunFolder, state: dict[str, Any], entry: dict[str, float], progress: Progress | None
) -> None:
    if fabric.is_global_zero:
        entry = {"step": state["step"], "seconds": round(state["seconds"], 1), **entry}
        folder.record(entry)
        log.info("%s", entry)
        if progress:
            progress(entry)


def _quietest(activity: Activity) -> dict[str, float]:
    """The share of its inputs that the quietest ReLU passes; what has fallen silent is told of."""
    shares = activity.shares()
    for name, share in shares.items():
        if share < SILENT:
            log.warning("%s passes %.2f %% of its inputs: what lies before it does not learn", name, 100 * share)
    return {"quietest": round(min(shares.values()), 4)} if shares else {}


def _bad_batch(folder: RunFolder, batch: Batch, step: int, rank: int) -> TrainingError:
    path = folder.save_batch(batch, BAD_BATCH_FILE.format(rank))
    return TrainingError(
        f"the loss of step {step + 1} is no finite number; its batch is kept in {path}: "
        "go on from the last checkpoint with --resume, or begin anew with a lower learning_rate"
    )


def _objective(config: TrainConfig, model: Network) -> Objective:
    kind = OBJECTIVES[type(model)]
    if not kind.takes_losses and config.loss != TrainConfig().loss:
        raise ConfigError(f"{config.model} has the loss of its paper: leave loss out")
    if config.tether and not getattr(model.config, "kernel_normalisation", False):
        raise ConfigError(f"the kernels of {config.model} are not normalised by their sums: leave tether out")
    return kind(model, ColourLoss(config.loss, config.vgg), config.tether)


def _network(config: TrainConfig) -> Network:
    model = _built_or_loaded(config)
    if config.half_share and model.scale == 1:
        raise ConfigError(f"{config.model} reads frames at full size: leave half_share out")
    if isinstance(model, FlowSep):
        multiple = model.stride * (2 if config.half_share else 1)
        if any(size % multiple for _, size in config.crops):
            raise ConfigError(f"crops are {config.crops}: sizes that are multiples of {multiple} are needed")
    return model


def _mean_of(models: list[Network]) -> Network:
    """The first network, with the mean of all their weights."""
    first, *others = models
    if any((type(other), other.config) != (type(first), first.config) for other in others):
        raise ConfigError("initial names networks of different forms: those that are averaged need one form")
    states = [model.state_dict() for model in models]
    first.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return first


def _built_or_loaded(config: TrainConfig) -> Network:
    if not config.initial:
        try:
            return channels_last(build_model(config.model, config.network))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the network cannot be made: {error}") from error
    model = _mean_of([load_model(name.strip()) for name in config.initial.split(",")])
    if config.network:
        model = _formed(model, config)
    return model.train().requires_grad_(True)


def _formed(model: Network, config: TrainConfig) -> Network:
    """A network that has learnt, in the form that is asked for: its own or, if it can grow, a larger one."""
    form = build_config(network_name(model), config.network)
    if form == model.config:
        return model
    if not isinstance(model, FlowSep):
        raise ConfigError(f"{config.initial} has another form than network asks for: leave network out, or train anew")
    try:
        return channels_last(widen(model, form))
    except ValueError as error:
        raise ConfigError(f"{config.initial} has another form than network asks for, and {error}") from error


def _optimiser(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    muon = partial(Muon, largest_gain=config.largest_gain)
    kinds: dict[str, Any] = {"adamax": torch.optim.Adamax, "adamw": torch.optim.AdamW, "muon": muon}
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
