"""Train for one leg: on one device, until a deadline; the next leg resumes it."""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from midframe.errors import ConfigError
from midframe.media.suffixes import PHOTOGRAPHS, VIDEOS
from midframe.models.checkpoint import build_config, channels_last, load_model, save_model
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.net2net import widen
from midframe.outputs import atomic_write
from midframe.training.on_device.clips import ClipBank
from midframe.training.on_device.crops import Crops, concatenate
from midframe.training.on_device.decoding import Clip, read_clip
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.overlays import Overlays
from midframe.training.on_device.photographs import Photographs
from midframe.training.on_device.step import GraphedStep, StepShape
from midframe.training.on_device.validation import Triplet, read_triplets, validate

log = logging.getLogger(__name__)
Report = Callable[[dict[str, Any]], None]

EMA_FILE = "average.safetensors"
"""Moving average of the weights in full precision."""
WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
"""State of the optimiser."""


@dataclass(frozen=True)
class LegConfig:
    """Hold the settings of one leg."""

    clips: tuple[str, ...] = ()
    """Folders of videos; a folder is read once it contains a file `READY`, during the leg too."""
    photographs: tuple[str, ...] = ()
    """Folders of photographs."""
    validation: str = ""
    """Folder of held-out videos."""
    init_from: str = ""
    """Initial weights, of a network of this config or of a smaller one."""
    resume_from: str = ""
    """Folder of an earlier leg."""
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of `FlowSepConfig` that differ from its defaults."""
    shapes: tuple[StepShape, ...] = (
        StepShape(192, (44, 20), probability=0.5),
        StepShape(384, (14, 8), scale=2, probability=0.3),
        StepShape(320, (14, 10), probability=0.2),
    )
    reductions: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Factors by which batches of clips are downscaled, chosen at random, if clips are large
    enough."""
    overlays: tuple[float, float] = (0.06, 0.2)
    """Probability of an overlay (text, bars) on crops of clips and of photographs."""
    max_frames: int = 200
    """Maximum frames per video."""
    learning_rate: float = 8e-4
    weight_decay: float = 1e-2
    warm_up: int = 150
    """Steps over which the learning rate rises."""
    cooling: float = 0.6
    """Fraction of the time over which the learning rate decays to 0 along a cosine."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights."""
    loss: tuple[float, float, float] = (1.0, 0.3, 0.0)
    """Weights of l1, laplacian and mse."""
    seconds: float = 60.0
    """Duration of the leg."""
    steps: int = 0
    """If not 0, stop after so many steps, if that is earlier."""
    deadline: float = 0.0
    """If not 0, stop at this time (seconds since 1970), if that is earlier."""
    report_every: float = 15.0
    """Seconds between reports of the losses."""
    validate_every: float = 60.0
    """Seconds between validations."""
    seed: int = 1


class Data:
    """Hold all clips, photographs and overlays; folders of clips may be added during the leg."""

    def __init__(self, config: LegConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.sizes = [
            round(shape.size * factor) for shape in config.shapes for factor in config.reductions
        ]
        self.waiting = [Path(folder) for folder in config.clips]
        self.reading: list[Future[list[Clip]]] = []
        self.pool = ThreadPoolExecutor()
        self.banks: list[ClipBank] = []
        paths = [
            path
            for folder in config.photographs
            for path in sorted(Path(folder).rglob("*"))
            if path.suffix.lower() in PHOTOGRAPHS
        ]
        self.photographs = Photographs(paths, device) if paths else None
        self.overlays = Overlays(384, device, config.seed)

    def add_ready(self, wait: bool = False) -> int:
        """Add the clips of folders that contain a file READY; return the number of new frames.

        Files are read in threads while training runs.

        Args:
            wait: wait until all files are read.
        """
        for folder in [each for each in self.waiting if (each / "READY").exists()]:
            self.waiting.remove(folder)
            self.reading.append(self.pool.submit(read_clips, folder, self.config.max_frames))
        frames = 0
        for done in [each for each in self.reading if wait or each.done()]:
            self.reading.remove(done)
            clips = done.result()
            self.banks.append(ClipBank(clips, self.sizes, self.device))
            frames += sum(len(clip.frames) for clip in clips)
        return frames

    def draw_batch(self, shape: StepShape) -> Crops:
        """Draw a batch for a step."""
        of_clips, of_photographs = shape.batch
        sources = []
        if self.banks:
            sources.append(
                self.overlays.composite(self._clips(of_clips, shape.size), self.config.overlays[0])
            )
        else:
            of_photographs += of_clips
        if of_photographs:
            if self.photographs is None:
                raise ConfigError(
                    "no photographs: name a folder in `photographs`, or draw 0 of them in `shapes`"
                )
            motion = 0.18 if shape.size < 300 else 0.26
            crops = self.photographs.sample(of_photographs, shape.size, motion)
            sources.append(self.overlays.composite(crops, self.config.overlays[1]))
        return concatenate(sources)

    def _clips(self, count: int, size: int) -> Crops:
        factors = self.config.reductions
        wanted = round(size * factors[choose([1.0] * len(factors))])
        for each in (wanted, size):
            serving = [bank for bank in self.banks if bank.has_crops(each)]
            if serving:
                bank = serving[choose([math.sqrt(len(bank.flat)) for bank in serving])]
                return bank.sample(count, each, size)
        raise ConfigError(
            f"no clip is large enough for crops of {size} pixels: use smaller `shapes`"
        )


def choose(weights: Sequence[float]) -> int:
    """Draw an index with probability proportional to its weight, on the CPU."""
    return int(torch.multinomial(torch.tensor(weights), 1))


def read_clips(folder: Path, max_frames: int) -> list[Clip]:
    """Read all videos of a folder in parallel."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: read_clip(path, max_frames), paths)
        return [clip for clips in found for clip in clips]


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
    data = Data(config, device)
    data.add_ready()  # starts reading
    model = create_network(config).to(device)
    channels_last(model)
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, config.weight_decay)
    ema_model = channels_last(FlowSep(model.config).to(device)).requires_grad_(False).eval()
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
        step.loss_weights.copy_(torch.tensor(config.loss))
    begin = time.time()
    end = min(begin + config.seconds, config.deadline or math.inf)
    count = 0
    reported = validated = begin
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


def create_network(config: LegConfig) -> FlowSep:
    """Create the network, with the weights that `init_from` names."""
    form = build_config("flowsep", config.network)
    if not config.init_from:
        return FlowSep(form)
    model = load_model(config.init_from)
    assert isinstance(model, FlowSep), "training on the device supports only FlowSep"
    model = model if model.config == form else widen(model, form)
    return model.float().train().requires_grad_(True)


def save(
    ema_model: FlowSep,
    model: FlowSep,
    optimiser: GraphedMuon,
    folder: Path,
    config: LegConfig,
) -> None:
    """Write the averaged weights in half precision, and everything that the next leg needs."""
    with torch.no_grad():
        for own, mean in zip(ema_model.parameters(), optimiser.average, strict=True):
            own.copy_(mean)
    save_model(ema_model, folder / "flowsep.safetensors", {"leg": asdict(config)})
    names = [name for name, _ in model.named_parameters()]
    _save(dict(zip(names, optimiser.average, strict=True)), folder / EMA_FILE)
    _save(dict(model.named_parameters()), folder / WEIGHTS_FILE)
    _save(optimiser.state(), folder / STATE_FILE)


def resume(model: FlowSep, optimiser: GraphedMuon, folder: Path) -> None:
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


__all__ = ["LegConfig", "Triplet", "train_leg"]
