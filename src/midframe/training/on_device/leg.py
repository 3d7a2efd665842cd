"""Train for one leg: on one device, until a deadline; the next leg resumes it."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midframe.errors import ConfigError, TrainingError
from midframe.models.checkpoint import channels_last
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.leg_data import LegData, choose
from midframe.training.on_device.leg_files import STATE_FILE, resume, save, save_average
from midframe.training.on_device.leg_network import TrainedNetwork, create_network
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.step import LOSSES, GraphedStep
from midframe.training.on_device.validation import Triplet, read_triplets, validate

Report = Callable[[dict[str, Any]], None]
Scores = dict[str, float]
DONE_FILE = "DONE"
"""Exists in the folder of a leg that is finished."""
STEPS_AHEAD = 8
"""Steps by which the CPU may run ahead of the device, and so past the deadline."""


def train_leg(config: LegConfig, folder: Path, device: torch.device, report: Report) -> Scores:
    """Train until the deadline; write weights and state to a folder.

    Args:
        config: settings.
        folder: output folder.
        device: the device that holds the data and the network.
        report: called with progress, losses and scores.

    Returns:
        Scores of the last validation: `near_psnr`, `far_psnr` (dB) and `sharpness` (1: as sharp as
        the ground truth).

    Raises:
        ConfigError: the settings are wrong, or a folder is missing or in use.
        TrainingError: the weights are not finite; the files of the last validation remain.
    """
    check_folders(config, folder)
    torch.manual_seed(config.seed)
    weights_of_losses = loss_weights(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    model = channels_last(create_network(config).to(device))
    data = LegData(config, device, any_time=model.any_time)
    data.add_ready()  # starts reading
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, config.weight_decay, config.max_layer_gain)
    leg = _Leg(
        config,
        folder,
        device,
        report,
        data,
        model,
        ema_model=channels_last(copy.deepcopy(model)).requires_grad_(False).eval(),
        optimiser=optimiser,
        steps=[GraphedStep(model, optimiser, shape) for shape in config.shapes],
        triplets=read_triplets(Path(config.validation)) if config.validation else [],
    )
    leg.prepare()
    for step in leg.steps:
        step.loss_weights.copy_(weights_of_losses)
    leg.run()
    return leg.finish()


@dataclass
class _Leg:
    """The loop over training steps, with what it needs and changes."""

    config: LegConfig
    folder: Path
    device: torch.device
    report: Report
    data: LegData
    model: TrainedNetwork
    ema_model: TrainedNetwork
    """Receives the moving average of the weights, to be validated and saved."""
    optimiser: GraphedMuon
    steps: list[GraphedStep]
    triplets: list[Triplet]
    """For validation."""
    count: int = 0
    """Number of finished steps."""
    crops: int = 0
    """Number of crops since the last report."""
    snapshots: int = 0
    """Number of saved snapshots."""

    def prepare(self) -> None:
        """Capture the steps, restore an earlier leg, wait for the data, and validate."""
        parameters = sum(weights.numel() for weights in self.model.parameters())
        self.report({"parameters": parameters, "triplets": len(self.triplets)})
        for step in self.steps:  # learning rate 0 and decay 1 keep the weights and their average
            step.run(step.random_crops())
            step.mean_losses()
            self.report({"captured": step.shape.size, "GiB": _memory(self.device)})
        self.optimiser.reset()
        if self.config.resume_from:
            resume(self.model, self.optimiser, Path(self.config.resume_from))
        photographs = len(self.data.photographs or ())
        self.report({"photographs": photographs, "frames": self.data.add_ready(wait=True)})
        self._validate(0.0)

    def run(self) -> None:
        """Train until the deadline."""
        config = self.config
        begin = reported = validated = time.time()
        end = min(begin + config.seconds, config.deadline or math.inf)
        while (now := time.time()) < end and not (config.steps and self.count == config.steps):
            done = (now - begin) / (end - begin)
            if config.steps:
                done = max(done, self.count / config.steps)
            self._step(done)
            if self.snapshots < self._snapshots_due(done):
                self._save_snapshot()
            if now - reported > config.report_every:
                self._report_losses(done, reported)
                reported = time.time()
            if now - validated > config.validate_every:
                self._validate(done)
                self._save()
                validated = reported = time.time()
                self.crops = 0

    def finish(self) -> Scores:
        """Validate and save; return the scores."""
        _synchronise(self.device)
        scores = self._validate(1.0)
        self._save()
        self.report({"step": self.count, "done": 1.0, "losses": self._mean_losses()})
        (self.folder / DONE_FILE).write_text(json.dumps(scores))
        return scores

    def _step(self, done: float) -> None:
        """Update the weights once, after a fraction of the leg."""
        self.optimiser.rate.fill_(learning_rate(self.config, self.count, done))
        self.optimiser.decay.fill_(min(self.config.ema_decay, (1 + self.count) / (10 + self.count)))
        step = self.steps[choose([each.shape.probability for each in self.steps])]
        step.run(self.data.draw_batch(step.shape))
        self.count += 1
        self.crops += sum(step.shape.batch)
        if self.count % STEPS_AHEAD == 0:
            _synchronise(self.device)

    def _snapshots_due(self, done: float) -> int:
        """Return the number of snapshots to have after a fraction of the leg."""
        return min(self.config.snapshots, math.floor(done * (self.config.snapshots + 1)))

    def _save_snapshot(self) -> None:
        self.snapshots += 1
        path = self.folder / f"{self.config.model}-{self.snapshots}.safetensors"
        save_average(self.ema_model, self.optimiser, path, self.config)

    def _report_losses(self, done: float, since: float) -> None:
        if frames := self.data.add_ready():
            self.report({"frames": frames, "GiB": _memory(self.device)})
        losses = self._mean_losses()  # waits for the device
        speed = round(self.crops / (time.time() - since))
        progress = {"step": self.count, "done": round(done, 3), "crops_per_second": speed}
        self.report({**progress, "losses": losses})
        self.crops = 0

    def _mean_losses(self) -> dict[int, dict[str, float]]:
        """Return the mean losses by crop size since the last call."""
        return {step.shape.size: step.mean_losses() for step in self.steps}

    def _validate(self, done: float) -> Scores:
        scores = validate(self.ema_model, self.optimiser.average, self.triplets, self.device)
        self.report({"validation": scores, "done": round(done, 3)})
        return scores

    def _save(self) -> None:
        if not all(bool(each.isfinite().all()) for each in self.optimiser.average):
            raise TrainingError(
                f"the weights are not finite after step {self.count}: start again with a lower "
                f"learning_rate; {self.folder} has the weights of the last validation before"
            )
        save(self.ema_model, self.model, self.optimiser, self.folder, self.config)


def check_folders(config: LegConfig, run: Path) -> None:
    """Check the folders of a leg before the work.

    Raises:
        ConfigError: `run` has a finished leg, or another folder does not exist or has no leg.
    """
    if (run / DONE_FILE).exists():
        raise ConfigError(f"{run} has a finished leg: name another folder")
    if config.resume_from and not (Path(config.resume_from) / STATE_FILE).exists():
        raise ConfigError(f"resume_from is {config.resume_from}: it has no leg to resume")
    if config.validation and not Path(config.validation).is_dir():
        raise ConfigError(f"validation is {config.validation}: there is no such folder")


def learning_rate(config: LegConfig, count: int, done: float) -> float:
    """Return the learning rate: linear warm-up, constant, then cosine decay to 0."""
    rate = config.learning_rate * min(1.0, (count + 1) / max(1, config.warm_up))
    start = 1 - config.cooling
    if done > start:
        rate *= 0.5 * (1 + math.cos(math.pi * (done - start) / config.cooling))
    return rate


def loss_weights(config: LegConfig) -> Tensor:
    """Return the weight of each of `LOSSES`.

    Raises:
        ConfigError: an unknown loss.
    """
    *names, penalty = LOSSES
    if unknown := sorted(set(config.loss) - set(names)):
        raise ConfigError(f"no loss {', '.join(unknown)}: choose from {', '.join(names)}")
    weights = {**config.loss, penalty: config.kernel_sum_penalty}
    return torch.tensor([weights.get(name, 0.0) for name in LOSSES])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> float:
    return (
        round(torch.cuda.max_memory_allocated(device) / 2**30, 1) if device.type == "cuda" else 0.0
    )
