"""Extras by the libraries that they install."""

import pytest

from midframe.extras import extra_of


@pytest.mark.parametrize(
    ("library", "extra"),
    [("gradio", "web"), ("uvicorn", "web"), ("ray", "cluster"), ("pi_heif", "heic"),
     ("lightning", "train"), ("google", "train")],
)  # fmt: skip
def test_a_missing_library_is_installed_by_its_extra(library: str, extra: str) -> None:
    assert extra_of(library) == extra
