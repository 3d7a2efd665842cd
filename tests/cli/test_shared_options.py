"""Options that several commands share."""

import pytest
import typer

from midframe.cli import app
from midframe.cli.options import takes_interpolation_options
from midframe.options import InterpolationOptions

SHARED = {
    "quality", "model", "device", "tile", "scale", "ensemble", "precision", "threads",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["video", "compare", "score", "batch", "image", "kernels", "visualize", "evaluate"]
)
def test_every_command_that_interpolates_has_the_same_options(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {each.name: each for each in commands[name].params}
    reference = {each.name: each for each in commands["image"].params}
    assert set(options) >= SHARED
    for option in SHARED:
        assert options[option].opts == reference[option].opts
        assert options[option].default == reference[option].default
        assert options[option].help == reference[option].help


def test_shared_options_are_passed_as_one_object() -> None:
    @takes_interpolation_options
    def show(count: int, *, interpolation: InterpolationOptions) -> tuple[int, object]:
        return count, interpolation

    assert show(3, ensemble=2, scale=4) == (3, InterpolationOptions(ensemble=2, scale=4))
