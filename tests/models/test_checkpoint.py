import copy
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from midframe.errors import CheckpointError
from midframe.models.checkpoint import (
    NETWORKS,
    build_model,
    load_model,
    register_network,
    save_model,
)
from midframe.models.network import Network
from midframe.models.sepconv import SepConv
from midframe.models.shipped import WEIGHTS, list_models, sha256_of


def test_saved_weights_are_loaded_with_their_config(
    tiny_model: SepConv, tiny_weights: Path
) -> None:
    loaded = load_model(tiny_weights)
    assert loaded.config == tiny_model.config
    for name, value in tiny_model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_shipped_weights_have_the_checksums_of_the_index() -> None:
    for entry in list_models().values():
        assert sha256_of(WEIGHTS / entry["file"]) == entry["sha256"]
        assert entry.keys() >= {"summary", "settings", "data", "scores"}


def test_weights_beyond_the_range_of_float16_are_stored_in_float32(
    tiny_model: SepConv, tmp_path: Path
) -> None:
    large = copy.deepcopy(tiny_model)
    name, weights = next(iter(large.named_parameters()))
    with torch.no_grad():
        weights.view(-1)[0] = 1e6
    save_model(large, tmp_path / "large.safetensors", {})
    loaded = load_model(tmp_path / "large.safetensors").state_dict()
    assert torch.equal(loaded[name], weights)
    saved = load_file(tmp_path / "large.safetensors").values()
    assert sum(each.dtype == torch.float32 for each in saved) == 1


def test_saving_leaves_no_temporary_file(tiny_model: SepConv, tmp_path: Path) -> None:
    save_model(tiny_model, tmp_path / "a.safetensors", {})
    assert [path.name for path in tmp_path.glob("a*")] == ["a.safetensors"]


def test_an_unknown_name_raises_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"nosuch.*sepconv"):
        load_model("nosuch")


def test_damaged_weights_raise_a_checkpoint_error(tiny_weights: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_weights.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    wrong = tmp_path / "wrong.safetensors"
    config = json.dumps({"taps": 9})
    save_file({"a": torch.ones(1)}, wrong, metadata={"network": "sepconv", "form": config})
    for path in (cut, text, foreign, wrong):
        with pytest.raises(CheckpointError, match=path.name):
            load_model(path)


def test_unknown_networks_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        build_model("nosuch")
    with pytest.raises(ValueError, match="tapz"):
        build_model("sepconv", {"tapz": 3})


def test_saved_weights_have_the_permissions_of_new_files(
    tmp_path: Path, tiny_weights: Path
) -> None:
    (tmp_path / "usual").touch()
    assert tiny_weights.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_weights_of_older_versions_are_read(tiny_weights: Path, tmp_path: Path) -> None:
    with safe_open(tiny_weights, framework="pt") as file:
        header = file.metadata()
    header["form"], header["facts"] = header.pop("config"), header.pop("training")
    save_file(load_file(tiny_weights), tmp_path / "old.safetensors", metadata=header)
    assert load_model(tmp_path / "old.safetensors").config == load_model(tiny_weights).config


@dataclass(frozen=True)
class CustomConfig:
    width: int = 4


class CustomNetwork(Network):
    def __init__(self, config: CustomConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = torch.nn.Conv2d(6, config.width, 1)


def test_a_registered_network_is_built_saved_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="CustomNetwork has no name: add it with register_network"):
        save_model(CustomNetwork(CustomConfig()), tmp_path / "custom.safetensors", {})
    monkeypatch.setattr("midframe.models.checkpoint.NETWORKS", dict(NETWORKS))
    register_network("custom", CustomNetwork, CustomConfig)
    register_network("custom", CustomNetwork, CustomConfig)
    with pytest.raises(ValueError, match="there is another network 'sepconv'"):
        register_network("sepconv", CustomNetwork, CustomConfig)
    save_model(build_model("custom", {"width": 3}), tmp_path / "custom.safetensors", {})
    assert load_model(tmp_path / "custom.safetensors").config == CustomConfig(3)


def test_a_network_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_network.py").write_text(
        "from midframe.models.checkpoint import register_network\n"
        "from midframe.models.sepconv import SepConv, SepConvConfig\n\n\n"
        "class Other(SepConv):\n    pass\n\n\n"
        "register_network('other', Other, SepConvConfig)\n"
    )
    package = tmp_path / "other_network-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: other-network\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[midframe.networks]\nother = other_network\n")
    monkeypatch.setattr("midframe.models.checkpoint.NETWORKS", dict(NETWORKS))
    monkeypatch.syspath_prepend(tmp_path)
    model = build_model("other", {"widths": [4, 8], "taps": 3})
    save_model(model, tmp_path / "other.safetensors", {})
    assert type(load_model(tmp_path / "other.safetensors")).__name__ == "Other"
    del sys.modules["other_network"]
