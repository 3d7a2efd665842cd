"""The extra that installs a library."""

import pytest

from midframe.extras import extra_of


@pytest.mark.parametrize(
    ("library", "extra"),
    [("gradio", "web"), ("uvicorn", "web"), ("ray", "cluster"), ("pi_heif", "heic"),
     ("lightning", "train"), ("google", "train")],
)  # fmt: skip
def test_the_extra_of_a_library_is_found(library: str, extra: str) -> None:
    assert extra_of(library) == extra
