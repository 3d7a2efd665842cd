import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from midframe.errors import CheckpointError
from midframe.models.checkpoint import (
    WEIGHTS,
    build_model,
    list_models,
    load_model,
    save_model,
    sha256_of,
)
from midframe.models.sepconv import SepConv


def test_weights_come_back_in_their_form(tiny_model: SepConv, tiny_weights: Path) -> None:
    loaded = load_model(tiny_weights)
    assert loaded.config == tiny_model.config
    for name, value in tiny_model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_shipped_weights_are_those_of_the_index() -> None:
    for facts in list_models().values():
        assert sha256_of(WEIGHTS / facts["file"]) == facts["sha256"]
        assert facts.keys() >= {"summary", "settings", "data", "scores"}


def test_saving_leaves_no_half_file(tiny_model: SepConv, tmp_path: Path) -> None:
    save_model(tiny_model, tmp_path / "a.safetensors", {})
    assert [path.name for path in tmp_path.glob("a*")] == ["a.safetensors"]


def test_a_name_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(CheckpointError, match=r"nosuch.*sepconv"):
        load_model("nosuch")


def test_damaged_weights_are_told(tiny_weights: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_weights.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    wrong = tmp_path / "wrong.safetensors"
    form = json.dumps({"taps": 9})
    save_file({"a": torch.ones(1)}, wrong, metadata={"network": "sepconv", "form": form})
    for path in (cut, text, foreign, wrong):
        with pytest.raises(CheckpointError, match=path.name):
            load_model(path)


def test_unknown_networks_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        build_model("nosuch")
    with pytest.raises(ValueError, match="tapz"):
        build_model("sepconv", {"tapz": 3})


def test_weights_have_the_permissions_of_new_files(tmp_path: Path, tiny_weights: Path) -> None:
    (tmp_path / "usual").touch()
    assert tiny_weights.stat().st_mode == (tmp_path / "usual").stat().st_mode
