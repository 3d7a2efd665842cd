"""One leg of a training: until a deadline, on one device, resumable by the next leg."""

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
from midframe.models.checkpoint import build_config, channels_last, load_model, save_model
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.net2net import widen
from midframe.outputs import whole_file
from midframe.training.on_device.clips import ClipBank
from midframe.training.on_device.crops import Crops, in_turn
from midframe.training.on_device.decoding import Clip, read_clip
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.overlays import Overlays
from midframe.training.on_device.photographs import SUFFIXES, Photographs
from midframe.training.on_device.step import GraphedStep, StepShape
from midframe.training.on_device.validation import Triplet, read_triplets, validate

log = logging.getLogger(__name__)
Report = Callable[[dict[str, Any]], None]

VIDEOS = {".mp4", ".webm", ".mov", ".mkv", ".avi"}
AVERAGE_FILE, WEIGHTS_FILE, STATE_FILE = "average.safetensors", "weights.safetensors", "state.safetensors"
"""The moving average in full precision, the weights themselves, and the state of the optimiser."""


@dataclass(frozen=True)
class LegConfig:
    """What one leg does."""

    clips: tuple[str, ...] = ()
    """Folders of videos; those that appear during the leg are read when `READY` in them appears."""
    photographs: tuple[str, ...] = ()
    validation: str = ""
    """Folder of held-out videos."""
    init_from: str = ""
    """Weights to start from, of this form or of a smaller one."""
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
    """Batches of clips are reduced by one of these factors, where clips are large enough for it."""
    overlays: tuple[float, float] = (0.06, 0.2)
    """Shares of the crops of clips and of photographs that have text or bars laid over them."""
    max_frames: int = 200
    """Frames read of each video, at most."""
    learning_rate: float = 8e-4
    weight_decay: float = 1e-2
    warm_up: int = 150
    """Steps over which the learning rate rises."""
    cooling: float = 0.6
    """Share of the time over which the learning rate falls to 0, along a cosine."""
    ema_decay: float = 0.999
    loss: tuple[float, float, float] = (1.0, 0.3, 0.0)
    """Weights of l1, laplacian and mse."""
    late_loss: tuple[float, float, float] | None = None
    """The same for the last 40 % of the time; None for no change."""
    seconds: float = 60.0
    """How long to train."""
    steps: int = 0
    """If not 0: end after so many steps, if that is earlier."""
    deadline: float = 0.0
    """If not 0: the time (seconds since 1970) to end at, if that is earlier."""
    report_every: float = 15.0
    validate_every: float = 60.0
    seed: int = 1


class Data:
    """All that crops are drawn from. Folders of clips may be filled while the leg runs."""

    def __init__(self, config: LegConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.sizes = [round(shape.size * factor) for shape in config.shapes for factor in config.reductions]
        self.waiting = [Path(folder) for folder in config.clips]
        self.reading: list[Future[list[Clip]]] = []
        self.pool = ThreadPoolExecutor()
        self.banks: list[ClipBank] = []
        paths = [
            path
            for folder in config.photographs
            for path in sorted(Path(folder).rglob("*"))
            if path.suffix.lower() in SUFFIXES
        ]
        self.photographs = Photographs(paths, device) if paths else None
        self.overlays = Overlays(384, device, config.seed)

    def add_ready(self, wait: bool = False) -> int:
        """Add clips of folders that are complete, those with a file READY; return how many frames.

        Files are read in threads while training runs.
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

    def draw(self, shape: StepShape) -> Crops:
        """Draw a batch of a shape."""
        of_clips, of_photographs = shape.batch
        sources = []
        if self.banks:
            sources.append(self.overlays.over(self._clips(of_clips, shape.size), self.config.overlays[0]))
        else:
            of_photographs += of_clips
        if of_photographs:
            if self.photographs is None:
                raise ConfigError("photographs: name a folder, or draw no crops of photographs")
            motion = 0.18 if shape.size < 300 else 0.26
            crops = self.photographs.sample(of_photographs, shape.size, motion)
            sources.append(self.overlays.over(crops, self.config.overlays[1]))
        return in_turn(sources)

    def _clips(self, count: int, size: int) -> Crops:
        factors = self.config.reductions
        wanted = round(size * factors[choose([1.0] * len(factors))])
        for each in (wanted, size):
            serving = [bank for bank in self.banks if bank.serves(each)]
            if serving:
                bank = serving[choose([math.sqrt(len(bank.flat)) for bank in serving])]
                return bank.sample(count, each, size)
        raise ConfigError(f"no clip is large enough for crops of {size} pixels")


def choose(weights: Sequence[float]) -> int:
    """Draw a number by weights, on the host."""
    return int(torch.multinomial(torch.tensor(weights), 1))


def read_clips(folder: Path, max_frames: int) -> list[Clip]:
    """Read all videos of a folder, side by side."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [clip for clips in pool.map(lambda path: read_clip(path, max_frames), paths) for clip in clips]


def train_leg(config: LegConfig, folder: Path, device: torch.device, report: Report) -> dict[str, float]:
    """Train until the deadline, leaving weights and state in a folder.

    Returns:
        The last validation: `near_psnr`, `far_psnr` (dB) and `sharpness` (1 is that of the truth).
    """
    torch.manual_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    data = Data(config, device)
    data.add_ready()  # begins to read
    model = start_network(config).to(device)
    channels_last(model)
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, config.weight_decay)
    judge = channels_last(FlowSep(model.config).to(device)).requires_grad_(False).eval()
    triplets = read_triplets(Path(config.validation)) if config.validation else []
    steps = [GraphedStep(model, optimiser, shape) for shape in config.shapes]
    report({"parameters": sum(w.numel() for w in model.parameters()), "triplets": len(triplets)})

    for step in steps:  # with a learning rate of 0 and a decay of 1: weights and average stay
        step.run(step.random_crops())
        step.mean_losses()
        report({"captured": step.shape.size, "GiB": _memory(device)})
    optimiser.reset()
    if config.resume_from:
        resume(model, optimiser, Path(config.resume_from))
    report({"photographs": len(data.photographs or ()), "frames": data.add_ready(wait=True)})
    scores = validate(judge, optimiser.average, triplets, device)
    report({"validation": scores, "done": 0.0})

    begin = time.time()
    end = min(begin + config.seconds, config.deadline or math.inf)
    count, reported, validated, since = 0, begin, begin, 0
    while (now := time.time()) < end and not (config.steps and count == config.steps):
        done = max((now - begin) / (end - begin), count / config.steps if config.steps else 0.0)
        optimiser.rate.fill_(learning_rate(config, count, done))
        optimiser.decay.fill_(min(config.ema_decay, (1 + count) / (10 + count)))
        loss = config.late_loss if config.late_loss and done > 0.6 else config.loss
        step = steps[choose([each.shape.probability for each in steps])]
        if count % 200 == 0 or done > 0.6:
            for each in steps:
                each.loss_weights.copy_(torch.tensor(loss))
        step.run(data.draw(step.shape))
        count += 1
        since += sum(step.shape.batch)
        if count % 8 == 0:
            _synchronise(device)  # or the host would run far ahead of the deadline
        if now - reported > config.report_every:
            if frames := data.add_ready():
                report({"frames": frames, "GiB": _memory(device)})
            entry = {each.shape.size: each.mean_losses() for each in steps}
            speed = round(since / (time.time() - reported))
            report({"step": count, "done": round(done, 3), "crops_per_second": speed, "losses": entry})
            reported, since = time.time(), 0
        if now - validated > config.validate_every:
            scores = validate(judge, optimiser.average, triplets, device)
            report({"validation": scores, "done": round(done, 3)})
            save(judge, model, optimiser, folder, config)
            validated = reported = time.time()
            since = 0
    _synchronise(device)
    scores = validate(judge, optimiser.average, triplets, device)
    save(judge, model, optimiser, folder, config)
    losses = {each.shape.size: each.mean_losses() for each in steps}
    report({"validation": scores, "step": count, "done": 1.0, "losses": losses})
    (folder / "DONE").write_text(json.dumps(scores))
    return scores


def learning_rate(config: LegConfig, count: int, done: float) -> float:
    """Rise over the first steps, then constant, then down to 0 along a cosine over the last share."""
    rate = config.learning_rate * min(1.0, (count + 1) / config.warm_up)
    start = 1 - config.cooling
    if done > start:
        rate *= 0.5 * (1 + math.cos(math.pi * (done - start) / config.cooling))
    return rate


def start_network(config: LegConfig) -> FlowSep:
    """The network in the form asked for, with the weights that the leg starts from."""
    form = build_config("flowsep", config.network)
    if not config.init_from:
        return FlowSep(form)
    model = load_model(config.init_from)
    assert isinstance(model, FlowSep), "only FlowSep is trained here"
    model = model if model.config == form else widen(model, form)
    return model.float().train().requires_grad_(True)


def save(judge: FlowSep, model: FlowSep, optimiser: GraphedMuon, folder: Path, config: LegConfig) -> None:
    """Write the average in half precision as weights to use, and all that the next leg needs."""
    with torch.no_grad():
        for own, mean in zip(judge.parameters(), optimiser.average, strict=True):
            own.copy_(mean)
    save_model(judge, folder / "flowsep.safetensors", {"leg": asdict(config)})
    names = [name for name, _ in model.named_parameters()]
    _save(dict(zip(names, optimiser.average, strict=True)), folder / AVERAGE_FILE)
    _save(dict(model.named_parameters()), folder / WEIGHTS_FILE)
    _save(optimiser.state(), folder / STATE_FILE)


def resume(model: FlowSep, optimiser: GraphedMuon, folder: Path) -> None:
    """Continue from what an earlier leg left in its folder."""
    weights, average = load_file(folder / WEIGHTS_FILE), load_file(folder / AVERAGE_FILE)
    with torch.no_grad():
        for (name, own), mean in zip(model.named_parameters(), optimiser.average, strict=True):
            own.copy_(weights[name])
            mean.copy_(average[name])
    optimiser.load_state(load_file(folder / STATE_FILE))


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as unfinished:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, unfinished)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> float:
    return round(torch.cuda.max_memory_allocated(device) / 2**30, 1) if device.type == "cuda" else 0.0


__all__ = ["LegConfig", "Triplet", "train_leg"]
