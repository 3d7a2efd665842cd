"""Settings and weight files with former names stay readable."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from midframe.models.aliases import SETTING_ALIASES, rename_settings
from midframe.models.checkpoint import NETWORKS, build_config, build_model, load_model, save_model


def test_former_names_give_the_same_config() -> None:
    old = build_config("flowsep", {"both_ways": 3, "neighbours": 2, "taps": 7})
    assert old == build_config(
        "flowsep", {"bidirectional_levels": 3, "propagation_distance": 2, "taps": 7}
    )


def test_a_weight_file_with_former_names_is_loaded(tmp_path: Path) -> None:
    model = build_model("flowsep", {"bidirectional_levels": 2, "propagation_distance": 3})
    path, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    save_model(model, path, {})
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    config = json.loads(header["config"])
    config["both_ways"], config["neighbours"] = (
        config.pop("bidirectional_levels"),
        config.pop("propagation_distance"),
    )
    save_file(load_file(path), old, metadata={**header, "config": json.dumps(config)})
    assert load_model(old).config == load_model(path).config == model.config


def test_current_names_are_not_changed() -> None:
    config = {"bidirectional_levels": 2, "taps": 5}
    assert rename_settings("flowsep", config) == config
    assert rename_settings("sepconv", {"neighbours": 2}) == {"neighbours": 2}


def test_both_names_of_one_setting_are_refused() -> None:
    with pytest.raises(ValueError, match="both_ways is the former name of bidirectional_levels"):
        build_model("flowsep", {"both_ways": 1, "bidirectional_levels": 1})


def test_every_alias_refers_to_an_existing_setting() -> None:
    for network, aliases in SETTING_ALIASES.items():
        _, config = NETWORKS[network]
        assert set(aliases.values()) <= set(config.__dataclass_fields__)
        assert not set(aliases) & set(config.__dataclass_fields__)
