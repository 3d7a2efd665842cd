"""Write the folder of a training run: settings, log, checkpoints."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from midframe.errors import CheckpointError, ConfigError
from midframe.models.checkpoint import save_model
from midframe.models.network import Network
from midframe.outputs import atomic_write, check_output_folder
from midframe.training.aliases import rename_checkpoint
from midframe.training.config import CHANGEABLE, TrainConfig, config_from, find_differences
from midframe.training.curves import draw_curves
from midframe.training.objectives import Batch

log = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
LOG_FILE = "log.jsonl"
LAST_FILE = "last.pt"
BEST_FILE = "best.safetensors"
BAD_BATCH_FILE = "bad-batch-{}.safetensors"


class RunFolder:
    """Read and write the files of a training run; a file gets its name when it is complete."""

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.settings = _to_json(config)
        self._events: Any = None

    def open(self, resume: bool) -> None:
        """Start a run in this folder, or check that the run in it can be resumed.

        Raises:
            CheckpointError: there is no run to resume.
            ConfigError: the settings differ from those of the run, or there is already a run.
        """
        path = find_config(self.path) if resume else self.path / CONFIG_FILE
        # Settings that the version that wrote the file did not have get their defaults.
        if resume and (changed := self._changed_settings(config_from(_read_settings(path)))):
            raise ConfigError(
                f"{', '.join(changed)}: the settings differ from those of the run in {self.path}: "
                f"use those in {path}, or start another run with init_from"
            )
        if not resume and path.exists():
            raise ConfigError(
                f"{self.path} contains a run already: use --resume, or another folder (--run)"
            )
        check_output_folder(self.path, error=ConfigError)
        self.path.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(self.settings, indent=1))
        _end_last_line(self.path / LOG_FILE)
        self._events = _event_writer(self.path)

    def _changed_settings(self, before: TrainConfig) -> list[str]:
        """Return the settings that differ and that a run must keep."""
        now = config_from(self.settings)
        return [name for name in find_differences(before, now) if name not in CHANGEABLE]

    def log_entry(self, entry: Mapping[str, float]) -> None:
        """Append an entry, which has a "step", to the log and to the TensorBoard events."""
        with (self.path / LOG_FILE).open("a") as file:
            file.write(json.dumps(entry) + "\n")
        for name in entry.keys() - {"step", "seconds"}:
            if self._events:
                self._events.add_scalar(name, entry[name], entry["step"])

    def draw_curves(self) -> None:
        """Draw `curves.png`, if matplotlib is installed."""
        try:
            draw_curves(self.path)
        except ImportError:
            log.debug("matplotlib is not installed; not drawing curves")

    def save_weights(self, model: Network, name: str, metadata: Mapping[str, Any]) -> None:
        """Write weights for inference."""
        save_model(model, self.path / name, metadata)

    def save_batch(self, batch: Batch, name: str) -> Path:
        """Write a batch as safetensors, for debugging; return the path."""
        present = {key: value for key, value in batch._asdict().items() if value is not None}
        tensors = {key: torch.as_tensor(value).cpu().contiguous() for key, value in present.items()}
        with atomic_write(self.path / name) as unfinished:
            save_file(tensors, unfinished)
        return self.path / name

    def save_checkpoint(
        self,
        state: Mapping[str, Any],
        model: nn.Module,
        ema: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Write everything that resuming needs."""
        content = {
            "state": dict(state),
            "model": model.state_dict(),
            "ema": ema.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rng_state": torch.get_rng_state(),
        }
        with atomic_write(self.path / LAST_FILE) as unfinished:
            torch.save(content, unfinished)

    def load_checkpoint(
        self,
        state: dict[str, Any],
        model: nn.Module,
        ema: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Restore what `save_checkpoint` wrote; without a checkpoint, keep the initial state.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        path = self.path / LAST_FILE
        if not path.exists():
            log.warning(
                "%s stopped before its first checkpoint: training from the first step", self.path
            )
            return
        try:
            content = rename_checkpoint(torch.load(path, weights_only=True, map_location="cpu"))
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            reason = str(error).partition("\n")[0] or "it is incomplete"
            raise CheckpointError(
                f"{path} cannot be read ({reason}): start again with another --run, and "
                f"init_from={self.path / BEST_FILE}"
            ) from error
        state |= content["state"]
        model.load_state_dict(content["model"])
        ema.load_state_dict(content["ema"])
        optimiser.load_state_dict(content["optimiser"])
        torch.set_rng_state(content["rng_state"])

    def close(self) -> None:
        """Close the TensorBoard events."""
        if self._events:
            self._events.close()


def find_config(run: Path) -> Path:
    """Return the file with the settings of a run.

    Raises:
        CheckpointError: the folder contains no run.
    """
    path = run / CONFIG_FILE
    if not path.exists():
        raise CheckpointError(f"{run} contains no run to resume: remove --resume")
    return path


def _to_json(config: TrainConfig) -> dict[str, Any]:
    """Return the settings as JSON restores them."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return settings


def _event_writer(path: Path) -> Any:
    """Return TensorBoard's writer, or None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("tensorboard is not installed; not writing TensorBoard events")
        return None
    return SummaryWriter(str(path))


def _read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a run."""
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a file of settings ({error}): start again with another --run"
        ) from error
    return settings


def _end_last_line(path: Path) -> None:
    """End the last line of a log that was cut off, so that the next entry has a line of its own."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
