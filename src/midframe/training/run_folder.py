"""The folder of a training: its settings, its log, its checkpoints, written aside and then renamed."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from midframe.errors import CheckpointError, ConfigError
from midframe.models.checkpoint import save_model
from midframe.models.network import Network
from midframe.outputs import check_output_folder, whole_file
from midframe.training.config import TrainConfig, config_from
from midframe.training.curves import draw_curves
from midframe.training.objectives import Batch

log = logging.getLogger(__name__)

CONFIG_FILE, LOG_FILE, LAST_FILE, BEST_FILE = (
    "config.json",
    "log.jsonl",
    "last.pt",
    "best.safetensors",
)
BAD_BATCH_FILE = "bad-batch-{}.safetensors"


class RunFolder:
    """Writes what a training leaves behind."""

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.settings = _plain(config)
        self._events: Any = None

    def open(self, resume: bool) -> None:
        """Begin a training, or go on with one.

        Raises:
            CheckpointError: there is none to go on with.
            ConfigError: the settings differ from those it was begun with, or there is one already.
        """
        path = self.path / CONFIG_FILE
        if resume and not path.exists():
            raise CheckpointError(
                f"{self.path} holds no training to go on with: start it without --resume"
            )
        # Settings that an older midframe did not know have their defaults.
        if resume and _plain(config_from(json.loads(path.read_text()))) != self.settings:
            raise ConfigError(
                f"the settings differ from those that {self.path} was begun with ({path})"
            )
        if not resume and path.exists():
            raise ConfigError(
                f"{self.path} holds a training already: go on with --resume, or name another --run"
            )
        check_output_folder(self.path, error=ConfigError)
        self.path.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.settings, indent=1))
        self._events = _event_writer(self.path)

    def record(self, entry: Mapping[str, float]) -> None:
        """Add an entry, which has a "step", to the log and to TensorBoard's events."""
        with (self.path / LOG_FILE).open("a") as file:
            file.write(json.dumps(entry) + "\n")
        for name in entry.keys() - {"step", "seconds"}:
            if self._events:
                self._events.add_scalar(name, entry[name], entry["step"])

    def draw_curves(self) -> None:
        """Draw `curves.png`, where matplotlib is installed."""
        try:
            draw_curves(self.path)
        except ImportError:
            log.debug("curves are not drawn: matplotlib is not installed")

    def save(self, model: Network, name: str, facts: Mapping[str, Any]) -> None:
        """Write weights for use."""
        save_model(model, self.path / name, facts)

    def save_batch(self, batch: Batch, name: str) -> Path:
        """Write a batch as safetensors, to be looked into."""
        known = {key: value for key, value in batch._asdict().items() if value is not None}
        tensors = {key: torch.as_tensor(value).cpu().contiguous() for key, value in known.items()}
        with whole_file(self.path / name) as unfinished:
            save_file(tensors, unfinished)
        return self.path / name

    def store(
        self,
        state: Mapping[str, Any],
        model: nn.Module,
        average: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Write everything that going on needs."""
        content = {
            "state": dict(state),
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "chance": torch.get_rng_state(),
        }
        with whole_file(self.path / LAST_FILE) as unfinished:
            torch.save(content, unfinished)

    def restore(
        self,
        state: dict[str, Any],
        model: nn.Module,
        average: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Read what `store` wrote."""
        path = self.path / LAST_FILE
        if not path.exists():
            raise CheckpointError(
                f"{path} does not exist: this training stopped before its first checkpoint, start it anew"
            )
        content = torch.load(path, weights_only=True, map_location="cpu")
        state |= content["state"]
        for part, name in ((model, "model"), (average, "average"), (optimiser, "optimiser")):
            part.load_state_dict(content[name])
        torch.set_rng_state(content["chance"])

    def close(self) -> None:
        """Finish the events."""
        if self._events:
            self._events.close()


def _plain(config: TrainConfig) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return settings


def _event_writer(path: Path) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("no TensorBoard events are written: tensorboard is not installed")
        return None
    return SummaryWriter(str(path))
