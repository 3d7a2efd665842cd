"""Run the training loop."""

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
from midframe.training.config import TrainConfig
from midframe.training.dead_relu import ReluActivity
from midframe.training.losses import ColourLoss
from midframe.training.mean_weights import average_weights
from midframe.training.muon import Muon
from midframe.training.objectives import OBJECTIVES, Batch, Objective
from midframe.training.precision import training_precision
from midframe.training.run_folder import BAD_BATCH_FILE, BEST_FILE, RunFolder
from midframe.training.samples import check_data, load_batches
from midframe.training.validation import evaluate

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, Any]], None]
"""Called with the log entry of some steps or of one validation."""

LOG_EVERY = 20
"""Steps over which a logged loss is averaged."""
CHECKPOINT_SECONDS = 300
"""Seconds after which a checkpoint is written even if there was no validation."""
DEAD_RELU_FRACTION = 0.002
"""A ReLU with a smaller fraction of active inputs is reported as dead."""


def train(
    config: TrainConfig, run: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, float]:
    """Train a network, or resume a run that was stopped.

    The run folder holds `config.json`, `log.jsonl`, TensorBoard events, `curves.png`, `last.pt`
    (everything that resuming needs) and `best.safetensors` (the weights with the best score on the
    validation patches).

    With several devices every process runs this function (started by Fabric or torchrun); rank 0
    validates, writes and reports.

    Args:
        config: settings; when resuming they must equal those of the run.
        run: folder of the run.
        resume: continue from `last.pt`. If the schedule is by steps, the result is the same as
            without the interruption.
        progress: called every 20 steps (losses, samples per second, fraction of the time spent
            waiting for data) and after every validation.

    Returns:
        The scores of the last validation: `patch_psnr` and `frame_psnr` in dB.

    Raises:
        ConfigError, DatasetError, CheckpointError: the settings or the dataset are unusable, or the
            run exists already or cannot be resumed.
        TrainingError: the loss is not finite; the batch is written to the run folder.
    """
    fabric = Fabric(
        devices=config.devices,
        num_nodes=config.machines,
        plugins=[training_precision(config.precision)],
    )
    fabric.launch()
    torch.manual_seed(config.seed)
    model, ema = _create_network(config), _create_network(config)
    ema.load_state_dict(model.state_dict())
    unwrapped = _create_objective(config, model)
    check_data(config)  # before the run folder is created
    folder = RunFolder(run, config)
    if fabric.is_global_zero:
        folder.open(resume)
    fabric.barrier()
    objective, optimiser = fabric.setup(unwrapped, _create_optimiser(config, model))
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf}
    if resume:
        folder.load_checkpoint(state, model, ema, optimiser)
    ema.to(fabric.device)
    crop_size = lambda step: _crop_size(config, _fraction_done(config, step, state["seconds"]))  # noqa: E731
    devices = {"rank": fabric.global_rank, "devices": fabric.world_size}
    batches = TimedBatches(
        load_batches(config, state["step"], crop_size, any_time=model.any_time, **devices)
    )
    scores: dict[str, float] = {}
    losses: list[dict[str, Tensor]] = []
    last_time = last_checkpoint = time.monotonic()

    while (done := _fraction_done(config, state["step"], state["seconds"])) < 1:
        learning_rate = _learning_rate(config, state["step"], done)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        batch = fabric.to_device(next(batches))
        loss, terms = objective(batch, _supervision_weight(config, done))
        fabric.backward(loss)
        norm = fabric.clip_gradients(
            objective, optimiser, max_norm=config.gradient_clip, error_if_nonfinite=False
        )
        finite_norm = (
            torch.isfinite(norm) or config.precision == "16-mixed"
        )  # whose scaler skips it
        if not torch.isfinite(loss) or not finite_norm:
            raise _report_bad_batch(folder, batch, state["step"], fabric.global_rank)
        optimiser.step()
        optimiser.zero_grad()
        _update_ema(ema, model, min(config.ema_decay, (1 + state["step"]) / (10 + state["step"])))

        losses.append(terms)
        state["step"] += 1
        now = time.monotonic()
        state["seconds"] += now - last_time
        last_time = now
        if fabric.world_size > 1 and config.minutes:  # all devices must stop at the same step
            state["seconds"] = fabric.broadcast(state["seconds"])
        if state["step"] % LOG_EVERY == 0:
            entry = {**_mean_losses(losses), "learning_rate": learning_rate}
            entry |= {"crop_size": batch.first.shape[-1], **batches.measure(config.batch)}
            _log_entry(fabric, folder, state, entry, progress)
            losses.clear()
        finished = _fraction_done(config, state["step"], state["seconds"]) >= 1
        if state["step"] % config.evaluate_every == 0 or finished:
            if fabric.is_global_zero:
                with ReluActivity(ema) as activity:
                    scores = evaluate(ema, config, fabric)
                _log_entry(fabric, folder, state, {**scores, **_check_relus(activity)}, progress)
                patch_psnr = scores["patch_psnr"]
                if math.isnan(patch_psnr) or patch_psnr > state["best"]:  # NaN: no held-out samples
                    state["best"] = patch_psnr
                    metadata = {"step": state["step"], **scores, "training": asdict(config)}
                    folder.save_weights(ema, BEST_FILE, metadata)
                folder.save_checkpoint(state, model, ema, optimiser)
                folder.draw_curves()
            fabric.barrier()
            # validation does not count towards the schedule
            last_time = last_checkpoint = time.monotonic()
            batches.restart()
        elif now - last_checkpoint >= CHECKPOINT_SECONDS:
            if fabric.is_global_zero:
                folder.save_checkpoint(state, model, ema, optimiser)
            last_checkpoint = now
    folder.close()
    return scores


class TimedBatches:
    """Iterate over batches and measure how long the loop waits for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches
        self.restart()

    def restart(self) -> None:
        """Restart the measurement."""
        self.started = time.monotonic()
        self.waited = 0.0
        self.count = 0

    def __next__(self) -> Batch:
        requested = time.monotonic()
        batch = next(self.batches)
        self.waited += time.monotonic() - requested
        self.count += 1
        return batch

    def measure(self, batch_size: int) -> dict[str, float]:
        """Return samples per second, over all devices, and the fraction of time spent waiting."""
        seconds = time.monotonic() - self.started
        speed = self.count * batch_size / seconds
        waiting = self.waited / seconds
        self.restart()
        return {"samples_per_second": round(speed, 4), "data_wait_fraction": round(waiting, 4)}


def _log_entry(
    fabric: Fabric,
    folder: RunFolder,
    state: dict[str, Any],
    entry: dict[str, float],
    progress: Progress | None,
) -> None:
    if fabric.is_global_zero:
        entry = {"step": state["step"], "seconds": round(state["seconds"], 1), **entry}
        folder.log_entry(entry)
        if progress:
            progress(entry)
        else:
            log.info("%s", entry)


def _check_relus(activity: ReluActivity) -> dict[str, float]:
    """Return the active fraction of the least active ReLU; log those that are dead."""
    fractions = activity.active_fractions()
    for name, fraction in fractions.items():
        if fraction < DEAD_RELU_FRACTION:
            log.warning(
                "dead ReLU %s: %.2f %% of its inputs are active, so the layers before it get no "
                "gradient; use network.slope or max_layer_gain",
                name,
                100 * fraction,
            )
    return {"least_active_relu": round(min(fractions.values()), 4)} if fractions else {}


def _report_bad_batch(folder: RunFolder, batch: Batch, step: int, rank: int) -> TrainingError:
    path = folder.save_batch(batch, BAD_BATCH_FILE.format(rank))
    return TrainingError(
        f"the loss or gradient of step {step + 1} is not finite; the batch was written to {path}: "
        "resume from the last checkpoint with --resume, or start again with a lower learning_rate"
    )


def _create_objective(config: TrainConfig, model: Network) -> Objective:
    objective = OBJECTIVES[type(model)]
    if not objective.has_configurable_loss and config.loss != TrainConfig().loss:
        raise ConfigError(f"{config.model} always uses the loss of its paper: remove loss")
    if config.kernel_sum_penalty and not getattr(model.config, "kernel_normalisation", False):
        raise ConfigError(
            f"{config.model} does not use kernel normalisation: remove kernel_sum_penalty"
        )
    return objective(model, ColourLoss(config.loss, config.vgg), config.kernel_sum_penalty)


def _create_network(config: TrainConfig) -> Network:
    model = _build_or_load(config)
    if config.half_res_probability and model.scale == 1:
        raise ConfigError(
            f"{config.model} does not support half resolution: remove half_res_probability"
        )
    if isinstance(model, FlowSep):
        multiple = model.stride * (2 if config.half_res_probability else 1)
        if any(size % multiple for _, size in config.crops):
            raise ConfigError(f"crops are {config.crops}: sizes must be multiples of {multiple}")
    return model


def _build_or_load(config: TrainConfig) -> Network:
    if not config.init_from:
        try:
            return channels_last(build_model(config.model, config.network))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"network is {config.network}: {error}") from error
    names = [name.strip() for name in config.init_from.split(",")]
    model = average_weights([load_model(name) for name in names])
    if config.network:
        model = _change_form(model, config)
    return model.train().requires_grad_(True)


def _change_form(model: Network, config: TrainConfig) -> Network:
    """Return a trained network with the config that `network` describes; FlowSep can be widened."""
    wanted = build_config(network_name(model), config.network)
    if wanted == model.config:
        return model
    mismatch = f"{config.init_from} has another config than network describes"
    if not isinstance(model, FlowSep):
        raise ConfigError(f"{mismatch}: remove network, or train from random weights")
    try:
        return channels_last(widen(model, wanted))
    except ValueError as error:
        raise ConfigError(f"{mismatch}: {error}") from error


def _create_optimiser(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    optimisers: dict[str, Any] = {
        "adamax": torch.optim.Adamax,
        "adamw": torch.optim.AdamW,
        "muon": partial(Muon, max_layer_gain=config.max_layer_gain),
    }
    create = optimisers[config.optimiser]
    optimiser: torch.optim.Optimizer = create(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return optimiser


def _fraction_done(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the fraction of the run that is done, by steps or by time."""
    return seconds / 60 / config.minutes if config.minutes else step / config.steps


def _learning_rate(config: TrainConfig, step: int, done: float) -> float:
    warm_up = min(1.0, (step + 1) / max(1, config.warm_up))
    return config.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _crop_size(config: TrainConfig, done: float) -> int:
    return next(size for start, size in reversed(config.crops) if done >= start)


def _supervision_weight(config: TrainConfig, done: float) -> float:
    if config.flow_supervision == 0:
        return 0.0
    return config.flow_supervision * max(0.0, 1 - done / config.flow_supervision_fraction)


def _mean_losses(losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """Return the mean of each loss term over the steps that have it."""
    values = {name: [terms[name].item() for terms in losses if name in terms] for name in losses[0]}
    return {name: sum(each) / len(each) for name, each in values.items()}


def _update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
        # Buffers are the running statistics of batch normalisation.
        for old, new in zip(ema.buffers(), model.buffers(), strict=True):
            old.lerp_(new, 1 - decay) if old.is_floating_point() else old.copy_(new)
