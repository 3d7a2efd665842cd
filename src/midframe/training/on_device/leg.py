"""Train for one leg: on one device, until a deadline; the next leg resumes it."""

import copy
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from midframe.errors import ConfigError
from midframe.models.checkpoint import build_config, channels_last, load_model, save_model
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.net2net import widen
from midframe.models.sepconv import SepConv
from midframe.outputs import atomic_write
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.leg_data import LegData, choose
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.step import LOSSES, GraphedStep
from midframe.training.on_device.validation import read_triplets, validate

log = logging.getLogger(__name__)
Report = Callable[[dict[str, Any]], None]

MODELS: dict[str, type[FlowSep] | type[SepConv]] = {"flowsep": FlowSep, "sepconv": SepConv}
"""Networks that a leg can train."""
EMA_FILE = "average.safetensors"
"""Moving average of the weights in full precision."""
WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
"""State of the optimiser."""


def train_leg(
    config: LegConfig, folder: Path, device: torch.device, report: Report
) -> dict[str, float]:
    """Train until the deadline; write weights and state to a folder.

    Args:
        config: settings.
        folder: output folder.
        device: the device that holds the data and the network.
        report: called with progress, losses and scores.

    Returns:
        Scores of the last validation: `near_psnr`, `far_psnr` (dB) and `sharpness` (1: as sharp as
        the ground truth).
    """
    torch.manual_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    data = LegData(config, device)
    data.add_ready()  # starts reading
    model = create_network(config).to(device)
    data.any_time = model.any_time
    channels_last(model)
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, config.weight_decay, config.max_layer_gain)
    ema_model = channels_last(copy.deepcopy(model)).requires_grad_(False).eval()
    triplets = read_triplets(Path(config.validation)) if config.validation else []
    steps = [GraphedStep(model, optimiser, shape) for shape in config.shapes]
    report({"parameters": sum(w.numel() for w in model.parameters()), "triplets": len(triplets)})

    for step in steps:  # the learning rate is 0 and the decay 1, so weights and average are kept
        step.run(step.random_crops())
        step.mean_losses()
        report({"captured": step.shape.size, "GiB": _memory(device)})
    optimiser.reset()
    if config.resume_from:
        resume(model, optimiser, Path(config.resume_from))
    report({"photographs": len(data.photographs or ()), "frames": data.add_ready(wait=True)})
    scores = validate(ema_model, optimiser.average, triplets, device)
    report({"validation": scores, "done": 0.0})

    for step in steps:
        step.loss_weights.copy_(loss_weights(config))
    begin = time.time()
    end = min(begin + config.seconds, config.deadline or math.inf)
    count = 0
    reported = validated = begin
    snapshots = 0
    crops = 0  # since the last report
    while (now := time.time()) < end and not (config.steps and count == config.steps):
        done = max((now - begin) / (end - begin), count / config.steps if config.steps else 0.0)
        optimiser.rate.fill_(learning_rate(config, count, done))
        optimiser.decay.fill_(min(config.ema_decay, (1 + count) / (10 + count)))
        step = steps[choose([each.shape.probability for each in steps])]
        step.run(data.draw_batch(step.shape))
        count += 1
        crops += sum(step.shape.batch)
        if count % 8 == 0:
            _synchronise(device)  # limits how far the CPU runs ahead, past the deadline
        if snapshots < config.snapshots and done >= (snapshots + 1) / (config.snapshots + 1):
            snapshots += 1
            path = folder / f"{config.model}-{snapshots}.safetensors"
            save_average(ema_model, optimiser, path, config)
        if now - reported > config.report_every:
            if frames := data.add_ready():
                report({"frames": frames, "GiB": _memory(device)})
            entry = {each.shape.size: each.mean_losses() for each in steps}
            speed = round(crops / (time.time() - reported))
            progress = {"step": count, "done": round(done, 3), "crops_per_second": speed}
            report({**progress, "losses": entry})
            reported = time.time()
            crops = 0
        if now - validated > config.validate_every:
            scores = validate(ema_model, optimiser.average, triplets, device)
            report({"validation": scores, "done": round(done, 3)})
            save(ema_model, model, optimiser, folder, config)
            validated = reported = time.time()
            crops = 0
    _synchronise(device)
    scores = validate(ema_model, optimiser.average, triplets, device)
    save(ema_model, model, optimiser, folder, config)
    losses = {each.shape.size: each.mean_losses() for each in steps}
    report({"validation": scores, "step": count, "done": 1.0, "losses": losses})
    (folder / "DONE").write_text(json.dumps(scores))
    return scores


def learning_rate(config: LegConfig, count: int, done: float) -> float:
    """Return the learning rate: linear warm-up, constant, then cosine decay to 0."""
    rate = config.learning_rate * min(1.0, (count + 1) / config.warm_up)
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


def create_network(config: LegConfig) -> FlowSep | SepConv:
    """Create the network, with the weights that `init_from` names.

    Raises:
        ConfigError: another network than FlowSep or SepConv, weights of another network, or shapes
            that SepConv does not support.
    """
    if config.model not in MODELS:
        raise ConfigError(f"model is {config.model!r}: choose from {', '.join(MODELS)}")
    if config.model == "sepconv" and any(shape.scale > 1 for shape in config.shapes):
        raise ConfigError("`shapes` has a scale above 1, which only flowsep supports: drop it")
    network_config = build_config(config.model, config.network)
    if not config.init_from:
        return MODELS[config.model](network_config)
    model = load_model(config.init_from)
    if isinstance(model, FlowSep) and config.model == "flowsep" and model.config != network_config:
        model = widen(model, network_config)
    if not isinstance(model, MODELS[config.model]) or model.config != network_config:
        raise ConfigError(f"init_from: {config.init_from} are weights of another network")
    return model.float().train().requires_grad_(True)


def save(
    ema_model: FlowSep | SepConv,
    model: FlowSep | SepConv,
    optimiser: GraphedMuon,
    folder: Path,
    config: LegConfig,
) -> None:
    """Write the averaged weights in half precision, and everything that the next leg needs."""
    save_average(ema_model, optimiser, folder / f"{config.model}.safetensors", config)
    names = [name for name, _ in model.named_parameters()]
    _save(dict(zip(names, optimiser.average, strict=True)), folder / EMA_FILE)
    _save(dict(model.named_parameters()), folder / WEIGHTS_FILE)
    _save(optimiser.state(), folder / STATE_FILE)


def save_average(
    ema_model: FlowSep | SepConv, optimiser: GraphedMuon, path: Path, config: LegConfig
) -> None:
    """Write the averaged weights in half precision."""
    with torch.no_grad():
        for own, mean in zip(ema_model.parameters(), optimiser.average, strict=True):
            own.copy_(mean)
    save_model(ema_model, path, {"leg": asdict(config)})


def resume(model: FlowSep | SepConv, optimiser: GraphedMuon, folder: Path) -> None:
    """Restore the weights and the state that an earlier leg wrote."""
    weights = load_file(folder / WEIGHTS_FILE)
    average = load_file(folder / EMA_FILE)
    with torch.no_grad():
        for (name, own), mean in zip(model.named_parameters(), optimiser.average, strict=True):
            own.copy_(weights[name])
            mean.copy_(average[name])
    optimiser.load_state(load_file(folder / STATE_FILE))


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with atomic_write(path) as unfinished:
        save_file(
            {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
            unfinished,
        )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> float:
    return (
        round(torch.cuda.max_memory_allocated(device) / 2**30, 1) if device.type == "cuda" else 0.0
    )
