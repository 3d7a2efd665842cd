"""The training loop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from midframe.errors import ConfigError, TrainingError
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.dead_relu import ReluActivity, report_dead_relus
from midframe.training.interruption import Interruption
from midframe.training.muon import Muon
from midframe.training.networks import create_network
from midframe.training.objectives import Batch, create_objective
from midframe.training.precision import training_precision
from midframe.training.processes import check_processes, report_killed_loader
from midframe.training.run_folder import BAD_BATCH_FILE, BEST_FILE, RunFolder
from midframe.training.samples import check_data, load_batches
from midframe.training.schedule import crop_size, fraction_done, learning_rate, supervision_weight
from midframe.training.timed_batches import TimedBatches
from midframe.training.validation import evaluate_average, validate

log = logging.getLogger(__name__)

LogCallback = Callable[[dict[str, Any]], None]
"""Called with the log entry of some steps or of one validation."""

LOG_EVERY = 20
"""Steps over which a logged loss is averaged."""
CHECKPOINT_SECONDS = 300
"""Seconds after which a checkpoint is written even if there was no validation."""


def train(
    config: TrainConfig, run: Path, *, resume: bool = False, progress: LogCallback | None = None
) -> dict[str, float]:
    """Train a network, or resume a run that was stopped.

    The run folder holds `config.json`, `log.jsonl`, TensorBoard events, `curves.png`, `last.pt`
    (everything that resuming needs) and `best.safetensors` (the weights with the best score on the
    validation patches).

    With several devices every process runs this function (started by Fabric or torchrun); rank 0
    validates, writes and reports.

    Args:
        config: settings; when resuming they must equal those of the run, except those that
            `CHANGEABLE` lists. With more `steps` or `minutes` a run is extended: the learning rate
            follows the longer schedule from there on, so after the end of a run it rises again.
        run: folder of the run.
        resume: continue from `last.pt`. If the schedule is by steps, the result is the same as
            without the interruption.
        progress: called every 20 steps (losses, samples per second, fraction of the time spent
            waiting for data) and after every validation.

    Returns:
        The scores of the last validation: `patch_psnr` and `frame_psnr` in dB.

    Raises:
        ConfigError, DatasetError, CheckpointError: the settings or the dataset are unusable, other
            processes were started than the settings describe, or the run exists already or cannot
            be resumed.
        TrainingError: the loss is not finite, and the batch is written to the run folder; or a
            process that loads data was killed.
        KeyboardInterrupt: after SIGINT (Ctrl-C), when the step is finished and a checkpoint is
            written. SIGTERM and SIGHUP have their usual effect then.
    """
    check_processes(config)
    fabric = Fabric(
        devices=config.devices,
        num_nodes=config.machines,
        plugins=[training_precision(config.precision)],
    )
    fabric.launch()
    torch.manual_seed(config.seed)
    model, ema = create_network(config), create_network(config)
    ema.load_state_dict(model.state_dict())
    unwrapped = create_objective(config, model)
    check_data(config)  # before the run folder is created
    folder = RunFolder(run, config)
    if fabric.is_global_zero:
        folder.open(resume)
    fabric.barrier()
    objective, optimiser = fabric.setup(unwrapped, _create_optimiser(config, model))
    loop = _Loop(config, fabric, folder, model, ema, objective, optimiser, progress)
    try:
        if resume:
            folder.load_checkpoint(loop.state, model, ema, optimiser)
            loop.check_unfinished()
        ema.to(fabric.device)
        with Interruption() as interruption, report_killed_loader():
            loop.run(interruption)
    finally:
        folder.close()
    if loop.stopped:
        interruption.send_again()
    return loop.scores


@dataclass
class _Loop:
    """The loop over training steps, with what it needs and changes."""

    config: TrainConfig
    fabric: Fabric
    folder: RunFolder
    model: Network
    ema: Network
    """Exponential moving average of the model's weights; it is validated and saved."""
    objective: Any
    """The `Objective`, as Fabric wraps it."""
    optimiser: Any
    progress: LogCallback | None
    state: dict[str, Any] = field(
        default_factory=lambda: {"step": 0, "seconds": 0.0, "best": -math.inf}
    )
    """Number of finished steps, training time in seconds, and best score; saved in checkpoints."""
    scores: dict[str, float] = field(default_factory=dict)
    """Scores of the last validation."""
    stopped: bool = False
    """Whether the training was interrupted."""

    def check_unfinished(self) -> None:
        """Raise a ConfigError if the schedule has ended already."""
        if self._fraction_done() >= 1:
            run = self.folder.path
            raise ConfigError(
                f"the run in {run} is finished, at step {self.state['step']}: extend it by larger "
                "steps (or minutes), or start another run, with init_from="
                f"{run / BEST_FILE}"
            )

    def run(self, interruption: Interruption) -> None:
        """Train until the schedule ends, or until an interruption."""
        config, fabric, state = self.config, self.fabric, self.state
        batches = self._load_batches()
        losses: list[dict[str, Tensor]] = []
        if state["step"] == 0 and fabric.is_global_zero:
            self._log(evaluate_average(config, fabric))
        last_time = last_checkpoint = time.monotonic()
        while self._fraction_done() < 1 and not self.stopped:
            rate = learning_rate(config, state["step"], self._fraction_done())
            try:
                batch = fabric.to_device(next(batches))
            except RuntimeError:  # the same signal has ended the processes that load data
                if interruption.signal is None or fabric.world_size > 1:
                    raise
                self._stop_if_interrupted(interruption)
                break
            losses.append(self._step(batch, rate))

            state["step"] += 1
            now = time.monotonic()
            state["seconds"] += now - last_time
            last_time = now
            if fabric.world_size > 1 and config.minutes:  # all devices must stop at the same step
                state["seconds"] = fabric.broadcast(state["seconds"])
            if state["step"] % LOG_EVERY == 0 or self._fraction_done() >= 1:
                entry = {**_mean_losses(losses), "learning_rate": rate}
                entry |= {"crop_size": batch.first.shape[-1], **batches.measure(config.batch)}
                self._log(entry)
                losses.clear()
            if state["step"] % config.evaluate_every == 0 or self._fraction_done() >= 1:
                if fabric.is_global_zero:
                    self._validate()
                fabric.barrier()
                # validation does not count towards the schedule
                last_time = last_checkpoint = time.monotonic()
                batches.restart()
            elif now - last_checkpoint >= CHECKPOINT_SECONDS:
                if fabric.is_global_zero:
                    self._save_checkpoint()
                last_checkpoint = now
            self._stop_if_interrupted(interruption)

    def _stop_if_interrupted(self, interruption: Interruption) -> None:
        """Write a checkpoint if this process, or another one of the run, was interrupted."""
        self.stopped = interruption.signal is not None
        if self.fabric.world_size > 1:
            self.stopped = bool(self.fabric.all_reduce(torch.tensor(self.stopped), reduce_op="sum"))
        if self.stopped and self.fabric.is_global_zero:
            self._save_checkpoint()
            log.warning(
                "step %d is saved in %s: continue with --resume",
                self.state["step"],
                self.folder.path,
            )

    def _fraction_done(self) -> float:
        return fraction_done(self.config, self.state["step"], self.state["seconds"])

    def _load_batches(self) -> TimedBatches:
        def crop_size_at(step: int) -> int:
            return crop_size(self.config, fraction_done(self.config, step, self.state["seconds"]))

        return TimedBatches(
            load_batches(
                self.config,
                self.state["step"],
                crop_size_at,
                any_time=self.model.any_time,
                rank=self.fabric.global_rank,
                devices=self.fabric.world_size,
            )
        )

    def _step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update the weights once; return the terms of the loss.

        Args:
            batch: on the device.
            rate: learning rate.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are unchanged.
        """
        config, fabric, step = self.config, self.fabric, self.state["step"]
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        terms: dict[str, Tensor]
        loss, terms = self.objective(batch, supervision_weight(config, self._fraction_done()))
        fabric.backward(loss)
        norm = fabric.clip_gradients(
            self.objective,
            self.optimiser,
            max_norm=config.gradient_clip or math.inf,
            error_if_nonfinite=False,
        )
        # with 16-mixed the gradient scaler itself skips steps whose gradient is not finite
        skips_itself = config.precision == "16-mixed"
        if not torch.isfinite(loss) or not (torch.isfinite(norm) or skips_itself):
            raise _report_bad_batch(self.folder, batch, step, fabric.global_rank)
        self.optimiser.step()
        self.optimiser.zero_grad()
        _update_ema(self.ema, self.model, min(config.ema_decay, (1 + step) / (10 + step)))
        return terms

    def _validate(self) -> None:
        """Score the averaged weights, and save them if they are the best so far."""
        with ReluActivity(self.ema) as activity:
            self.scores = validate(self.ema, self.config, self.fabric)
        self._log({**self.scores, **report_dead_relus(activity)})
        patch_psnr = self.scores.get("patch_psnr", -math.inf)  # the last is the best without any
        if patch_psnr >= self.state["best"]:
            self.state["best"] = patch_psnr
            metadata = {
                "step": self.state["step"], **self.scores, "training": asdict(self.config)
            }  # fmt: skip
            self.folder.save_weights(self.ema, BEST_FILE, metadata)
        self._save_checkpoint()
        self.folder.draw_curves()

    def _save_checkpoint(self) -> None:
        self.folder.save_checkpoint(self.state, self.model, self.ema, self.optimiser)

    def _log(self, entry: dict[str, float]) -> None:
        """Write an entry to the log of the run, and report it; only rank 0 does."""
        if not self.fabric.is_global_zero:
            return
        entry = {"step": self.state["step"], "seconds": round(self.state["seconds"], 1), **entry}
        self.folder.log_entry(entry)
        if self.progress:
            self.progress(entry)
        else:
            log.info("%s", entry)


def _report_bad_batch(folder: RunFolder, batch: Batch, step: int, rank: int) -> TrainingError:
    path = folder.save_batch(batch, BAD_BATCH_FILE.format(rank))
    return TrainingError(
        f"the loss or gradient of step {step + 1} is not finite; the batch was written to {path}: "
        "resume from the last checkpoint with --resume, or start again with a lower learning_rate"
    )


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
