"""Former names in datasets, so that older datasets can be read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDERS = {"made": "synthetic", "whole": "validation_frames"}
"""Folders of a dataset, old name to present name."""
CONFIG_FIELDS = {
    "layer_share": "foreground_probability",
    "max_bend": "max_distortion",
    "per_still": "per_photograph",
    "plain": "random_patches",
    "still_motion": "synthetic_motion",
    "validation_share": "validation_fraction",
    "whole_frames": "validation_sequences",
}
"""Fields of `CreateConfig` and of the dataclasses in it, old name to present name."""
METADATA_KEYS = {"part": "split"}
"""Keys in `files/*.json` and `report.json`, old name to present name."""


def split_folder(dataset: Path, split: str) -> Path:
    """Return the folder of a split: the one with the old name if the dataset has only that."""
    present = dataset / split
    for old, name in FOLDERS.items():
        if name == split and not present.is_dir() and (dataset / old).is_dir():
            return dataset / old
    return present


def rename_split(name: str) -> str:
    """Return the present name of a split."""
    return FOLDERS.get(name, name)


def rename_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a `dataset.json` under their present names."""
    return {
        CONFIG_FIELDS.get(name, name): rename_config(value) if isinstance(value, dict) else value
        for name, value in settings.items()
    }


def rename_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of one source file under its present names."""
    renamed = {METADATA_KEYS.get(name, name): value for name, value in metadata.items()}
    return {**renamed, "split": rename_split(renamed["split"])} if "split" in renamed else renamed
