"""Custom functions and modules as networks."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from midframe.errors import CheckpointError
from midframe.interpolator import Interpolator
from midframe.models.function import FunctionNetwork, takes_time
from midframe.models.network import Network
from midframe.video.pipeline import interpolate_video

FIRST, SECOND = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)


def average(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2


def blend(first: Tensor, second: Tensor, t: float) -> Tensor:
    return (1 - t) * first + t * second


class Mask(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        mask = self.layer(torch.cat((first, second), dim=1)).sigmoid()
        return mask * first + (1 - mask) * second


class OnlyForward(Network):
    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        return average(first, second)


def test_a_function_interpolates_with_and_without_a_time_argument() -> None:
    expected = [(1 - t) * FIRST + t * SECOND for t in (0.25, 0.5)]
    with_time = Interpolator(blend, device="cpu").interpolate_many(FIRST, SECOND, [0.25, 0.5])
    without_time = Interpolator(average, device="cpu").interpolate_many(FIRST, SECOND, [0.25, 0.5])
    for output in (with_time, without_time):
        assert all(
            abs(frame - other).max() <= 1 for frame, other in zip(output, expected, strict=True)
        )


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_a_module_and_a_network_with_only_forward_interpolate(precision: str) -> None:
    for model in (Mask(), OnlyForward()):
        output = Interpolator(model, device="cpu", precision=precision).interpolate(FIRST, SECOND)
        assert output.shape == FIRST.shape
    assert Interpolator(Mask(), device="cpu").precision == torch.float32


def test_two_functions_have_different_identities() -> None:
    interpolators = [Interpolator(average, device="cpu") for _ in range(2)]
    assert interpolators[0].identity == interpolators[0].identity != interpolators[1].identity


def test_alpha_is_interpolated_as_a_frame() -> None:
    first, second = (np.dstack((each, each[..., :1] // 2 + 128)) for each in (FIRST, SECOND))
    output = Interpolator(average, device="cpu").interpolate(first, second)
    assert abs(output[..., 3] - (first[..., 3] / 2 + second[..., 3] / 2)).max() <= 1


def test_a_wrapped_module_keeps_its_gradients_and_weights() -> None:
    module = Mask()
    interpolator = Interpolator(module, device="cpu")
    assert interpolator.model.function is not module
    frames = torch.rand(2, 1, 3, 8, 8)
    FunctionNetwork(module)(frames[0], frames[1]).sum().backward()
    assert module.layer.weight.grad is not None


def test_a_time_argument_is_detected_by_the_number_of_arguments() -> None:
    assert takes_time(functools.partial(blend, t=0.5)) is False
    assert takes_time(lambda first, second, t=0.5: first)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, ValueError, "model is int: give a name or file of weights"),
        (Mask, ValueError, "Mask is a class: give an object of it"),
        (lambda first: first, ValueError, r"\(first, second\) or \(first, second, t\) is needed"),
        (lambda first, _: first[..., 1:], ValueError, r"returned \(1, 3, 12, 15\) for frames"),
        (Network(), NotImplementedError, "Network must define forward"),
    ],
)
def test_other_objects_are_refused(model: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Interpolator(model, device="cpu").interpolate(FIRST, SECOND)


@pytest.mark.parametrize("tile", [None, 8])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_output_that_is_not_finite_raises_an_error(value: float, tile: int | None) -> None:
    def return_invalid(first: Tensor, second: Tensor) -> Tensor:
        result = average(first, second)
        result[..., -1, -1] = value
        return result

    with pytest.raises(
        CheckpointError, match="return_invalid returned samples that are not finite"
    ):
        Interpolator(return_invalid, device="cpu", tile=tile).interpolate(FIRST, SECOND)


def test_a_network_that_returns_nan_writes_no_video(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    def return_invalid(first: Tensor, second: Tensor) -> Tensor:
        return first * float("nan")

    with pytest.raises(CheckpointError, match="not finite"):
        interpolate_video(
            render_video(frames=3), tmp_path / "out.mp4", model=Interpolator(return_invalid)
        )
    assert not (tmp_path / "out.mp4").exists()
