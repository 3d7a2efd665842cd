"""Map old names of settings, log entries and checkpoint keys to the present ones.

Settings files, `--set` options and run folders that were written with the old names stay readable.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from midframe.errors import ConfigError

Value = TypeVar("Value")

SETTINGS = {
    "average": "ema_decay",
    "guide": "flow_supervision",
    "guide_share": "flow_supervision_fraction",
    "half_share": "half_res_probability",
    "initial": "init_from",
    "largest_gain": "max_layer_gain",
    "made_share": "synthetic_fraction",
    "tether": "kernel_sum_penalty",
}
"""Fields of `TrainConfig` and keys of Muon's parameter groups, old name to present name."""

LOG_ENTRIES = {
    "drift": "kernel_sum_penalty",
    "guide": "flow_supervision",
    "quietest": "least_active_relu",
    "rate": "learning_rate",
    "size": "crop_size",
    "waiting": "data_wait_fraction",
}
"""Names in `log.jsonl`, old name to present name."""
CHECKPOINT_KEYS = {"average": "ema", "chance": "rng_state"}
"""Keys of `last.pt`, old name to present name."""


def rename_setting(name: str) -> str:
    """Return the present name of a setting; dotted names such as `network.taps` are kept."""
    return SETTINGS.get(name, name)


def rename_settings(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return settings under their present names.

    Raises:
        ConfigError: a setting is given under both its old and its present name.
    """
    for old, present in SETTINGS.items():
        if old in settings and present in settings:
            raise ConfigError(f"{old} and {present} are one setting: remove {old}, its old name")
    return {rename_setting(name): value for name, value in settings.items()}


def rename_log_entry(entry: Mapping[str, Value]) -> dict[str, Value]:
    """Return an entry of `log.jsonl` under its present names."""
    return {LOG_ENTRIES.get(name, name): value for name, value in entry.items()}


def rename_checkpoint(content: Mapping[str, Value]) -> dict[str, Value]:
    """Return the content of `last.pt` under its present names."""
    return {CHECKPOINT_KEYS.get(name, name): value for name, value in content.items()}


def rename_group_options(group: dict[str, Any]) -> None:
    """Rename the options of an optimiser's parameter group in place."""
    for old in SETTINGS.keys() & group.keys():
        group[SETTINGS[old]] = group.pop(old)
