"""Self-ensemble: tiles, times, inverse transforms and refused numbers of views."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from midframe.interpolator import Interpolator
from midframe.models.checkpoint import build_model
from midframe.models.ensemble import VIEWS, Ensemble
from midframe.models.function import FunctionNetwork
from midframe.models.network import Network


class Blend(Network):
    """Blends both frames by time, so that the order of the frames matters."""

    tile, any_time = 0, True

    def __init__(self) -> None:
        super().__init__()
        self.config = None

    def prepare(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first, second

    def render_tile(
        self, prepared: tuple[Tensor, Tensor], rows: slice, columns: slice, time: float = 0.5
    ) -> Tensor:
        first, second = (frame[..., rows, columns] for frame in prepared)
        return first * (1 - time) + second * time


class LeftmostPixel(Blend):
    """Repeats the leftmost pixel of each row, so that each view gives another frame."""

    def render_tile(
        self, prepared: tuple[Tensor, Tensor], rows: slice, columns: slice, time: float = 0.5
    ) -> Tensor:
        frame = prepared[0][..., rows, :1]
        return frame.expand(-1, -1, -1, columns.stop - columns.start)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    first, second = torch.rand(2, 1, 3, 7, 11, generator=torch.Generator().manual_seed(0))
    return first, second


@pytest.mark.parametrize("views", VIEWS)
def test_every_view_is_inverted_in_space_and_time(pair: tuple[Tensor, Tensor], views: int) -> None:
    ensemble = Ensemble(Blend(), views)
    tile = ensemble.render_tile(ensemble.prepare(*pair), slice(2, 5), slice(1, 9), 0.2)
    expected = (0.8 * pair[0] + 0.2 * pair[1])[..., 2:5, 1:9]
    torch.testing.assert_close(tile, expected)


def test_views_differ_in_orientation_and_order_of_frames(pair: tuple[Tensor, Tensor]) -> None:
    first, second = pair
    ensemble = Ensemble(LeftmostPixel(), 4)
    output = ensemble.render_tile(ensemble.prepare(first, second), slice(0, 7), slice(0, 11))
    sides = first[..., :, :1], second[..., :1, :], first[..., :, -1:], second[..., -1:, :]
    torch.testing.assert_close(output, sum(side.expand_as(first) for side in sides) / 4)


def test_all_views_are_different(pair: tuple[Tensor, Tensor]) -> None:
    transformed = {view.transform(pair[0]).numpy().tobytes() for view in Ensemble(Blend(), 8).views}
    assert len(transformed) == 8


@pytest.mark.parametrize("name", ["flowsep", "sepconv"])
def test_tiles_equal_the_full_frame(name: str) -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 70, 93, 3), np.uint8)
    config = (
        {"widths": [4, 8], "taps": 3}
        if name == "sepconv"
        else {"widths": (4, 4, 8, 8), "hidden": (8, 8, 8, 8)}
    )
    torch.manual_seed(0)
    options = {
        "model": build_model(name, config),
        "device": "cpu",
        "precision": "float32",
        "ensemble": 4,
    }
    full, tiled = (
        Interpolator(**options, tile=tile).interpolate(first, second) for tile in (0, 40)
    )
    assert np.abs(full.astype(int) - tiled).max() <= 1


def test_two_views_have_a_smaller_error_than_one(frame: Callable[..., np.ndarray]) -> None:
    first, truth, second = (frame(time, 128, 192) for time in (0.0, 0.5, 1.0))
    errors = [
        np.abs(
            Interpolator("flowsep", device="cpu", ensemble=views).interpolate(first, second)
            - truth.astype(int)
        )
        for views in (1, 2)
    ]
    assert errors[1].mean() < errors[0].mean()


def test_other_numbers_of_views_are_refused() -> None:
    with pytest.raises(ValueError, match="ensemble is 3: choose from 1, 2, 4, 8"):
        Interpolator("flowsep", device="cpu", ensemble=3)


def test_interpolators_with_different_views_have_different_identities() -> None:
    model = build_model("flowsep")
    identities = {Interpolator(model, device="cpu", ensemble=views).identity for views in (1, 2, 4)}
    assert len(identities) == 3


def test_all_networks_accept_a_time_and_refuse_unsupported_ones() -> None:
    frames = torch.rand(2, 1, 3, 16, 24)
    for name, widths in (("sepconv", [4, 8]), ("adaconv", [4] * 5)):
        model = build_model(name, {"widths": widths, "taps": 3}).eval()
        assert torch.equal(model(*frames, 0.5), model(*frames))
        with pytest.raises(ValueError, match=r"t is 0.25: \w+ interpolates the middle alone"):
            model(*frames, 0.25)
        with pytest.raises(ValueError, match=r"interpolates the middle alone"):
            model.render_tile(model.prepare(*frames), slice(0, 8), slice(0, 8), 0.25)
        with pytest.raises(ValueError, match=r"interpolates the middle alone"):
            Ensemble(model, 2)(*frames, torch.tensor([0.25]))
    blend = FunctionNetwork(lambda first, second, t: (1 - t) * first + t * second)
    assert torch.allclose(Ensemble(blend, 2)(*frames, 0.25), blend(*frames, 0.25))
