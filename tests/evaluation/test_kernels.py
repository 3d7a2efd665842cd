from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from midframe.errors import VideoError
from midframe.evaluation.kernels import (
    draw_flow_colours,
    draw_kernels,
    kernel_motion,
    pixel_kernels,
)
from midframe.evaluation.visualize import compute_maps, draw_maps
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import read_image
from midframe.models.checkpoint import build_model
from midframe.models.network import Network, motion_between
from midframe.ops.resampling import RESAMPLINGS
from midframe.tensors import to_tensor

Render = Callable[..., np.ndarray]
CONFIGS = {
    "adaconv": {"widths": [8, 8, 8, 8, 16], "taps": 9},
    "sepconv": {"widths": [4, 8, 8], "taps": 9},
}
FLOWSEP = {"widths": (4, 4, 8, 8), "hidden": (8, 8, 8, 8), "radii": (0, 1, 2, 2), "taps": 3}


@pytest.fixture(params=CONFIGS)
def tool(request: pytest.FixtureRequest) -> Interpolator:
    torch.manual_seed(0)
    return Interpolator(
        build_model(request.param, CONFIGS[request.param]), device="cpu", precision="float32"
    )


def test_a_pixel_is_its_patches_filtered_by_its_kernels(tool: Interpolator, frame: Render) -> None:
    first, second = frame(0, 24, 24), frame(2, 24, 24)
    output = tool.middle(*(to_tensor(each, tool.device) for each in (first, second)))
    for x, y in ((8, 16), (15, 11)):
        pixel = pixel_kernels(tool, first, second, x, y)
        assert pixel.kernels.shape == (2, 9, 9)
        colour = np.einsum("fij,fijc->c", pixel.kernels, pixel.patches)
        np.testing.assert_allclose(colour.clip(0, 1), output[0, :, y, x].numpy(), atol=1e-5)


def test_kernels_exist_for_pixels_at_the_border(tool: Interpolator, frame: Render) -> None:
    for x, y in ((0, 0), (95, 63)):
        assert pixel_kernels(tool, frame(0), frame(1), x, y).patches.shape == (2, 9, 9, 3)


@pytest.mark.parametrize(("x", "y"), [(96, 0), (0, 64), (-1, 5)])
def test_a_pixel_outside_of_the_frames_is_refused(
    tool: Interpolator, frame: Render, x: int, y: int
) -> None:
    with pytest.raises(ValueError, match=rf"{x},{y} lies outside.*0 to 95.*0 to 63"):
        pixel_kernels(tool, frame(0), frame(1), x, y)


def test_the_motion_of_a_frame_equals_that_of_the_kernels_of_its_pixels(
    tool: Interpolator, frame: Render
) -> None:
    first, second = (
        frame(0, 24, 24),
        frame(1, 24, 24),
    )  # so small that the receptive field of every pixel covers it
    motion = kernel_motion(tool, first, second)
    stride = 24 // motion.shape[2]
    assert motion.shape == (2, 24 // stride, 24 // stride)
    for x, y in ((8, 16), (16, 8)):
        kernels = torch.from_numpy(pixel_kernels(tool, first, second, x, y).kernels.clip(0))
        expected = motion_between(
            kernels.sum(2)[None, ..., None, None], kernels.sum(1)[None, ..., None, None]
        )
        np.testing.assert_allclose(
            motion[:, y // stride, x // stride], expected.flatten().numpy(), atol=1e-4
        )


def shifted_delta(down: int, right: int) -> Tensor:
    kernel = torch.zeros(9, 9)
    kernel[4 + down, 4 + right] = 1
    return kernel


def motion_of(first: Tensor, second: Tensor) -> list[float]:
    both = torch.stack((first, second))[None, ..., None, None]  # (1, 2, K, K, 1, 1)
    return motion_between(both.sum(3), both.sum(2)).flatten().tolist()


def test_the_motion_is_the_distance_of_the_centres_of_mass() -> None:
    assert motion_of(shifted_delta(1, -2) / 2, shifted_delta(-1, 2) / 2) == [4, -2]
    assert motion_of(shifted_delta(0, 0) / 2, shifted_delta(0, 0) / 2) == [0, 0]


def test_a_pixel_visible_in_one_frame_has_the_motion_of_that_frame() -> None:
    assert motion_of(shifted_delta(0, 0) * 0, shifted_delta(0, 3)) == [6, 0]
    assert motion_of(shifted_delta(2, 0), shifted_delta(0, 0) * 0) == [0, -4]


def test_motion_is_coloured_by_direction_and_length() -> None:
    motion = np.zeros((2, 1, 3), np.float32)
    motion[:, 0, 1], motion[:, 0, 2] = (5, 0), (-5, 0)
    static, right, left = draw_flow_colours(motion, 5.0)[0]
    assert static.tolist() == [255, 255, 255]
    assert right.tolist() == [255, 0, 0]
    assert left.tolist() == [0, 255, 255]


def test_a_figure_is_drawn(tool: Interpolator, frame: Render, tmp_path: Path) -> None:
    draw_kernels(tmp_path / "k.png", tool, frame(0), frame(2), [(30, 30), (5, 60)])
    assert read_image(tmp_path / "k.png").std() > 20
    with pytest.raises(VideoError, match="nowhere"):
        draw_kernels(tmp_path / "nowhere" / "k.png", tool, frame(0), frame(2), [(30, 30)])


def test_the_base_class_does_not_implement_motion() -> None:
    with pytest.raises(NotImplementedError):
        Network().motion(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_the_kernels_of_flowsep_are_at_the_positions_of_its_flows(
    frame: Render, resampling: str
) -> None:
    torch.manual_seed(0)
    model = build_model("flowsep", {**FLOWSEP, "resampling": resampling})
    head = model.decoders[0].head
    torch.nn.init.zeros_(head.weight[-3:])  # no residual
    with torch.no_grad():
        head.bias[:4] = torch.tensor([-2.2, 0.6, 2.2, -0.6])  # in pixels at half resolution
    model.falls_back = False
    tool = Interpolator(model, device="cpu", precision="float32")
    first, second = frame(0, 48, 64), frame(2, 48, 64)
    output = tool.middle(*(to_tensor(each, tool.device) for each in (first, second)))
    for x, y in ((20, 16), (33, 25)):
        pixel = pixel_kernels(tool, first, second, x, y)
        colour = np.einsum("fij,fijc->c", pixel.kernels, pixel.patches)
        np.testing.assert_allclose(colour.clip(0, 1), output[0, :, y, x].numpy(), atol=2e-3)
    motion = kernel_motion(tool, first, second)
    assert motion.shape == (2, 48, 64)
    assert abs(motion[0].mean() - 8.8) < 2


def test_the_prediction_of_flowsep_is_drawn(frame: Render, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tool = Interpolator(build_model("flowsep", FLOWSEP), device="cpu", precision="float32")
    maps = compute_maps(tool, frame(0, 48, 64), frame(2, 48, 64))
    assert {name: each.shape for name, each in maps.items()} == {
        "motion": (2, 24, 32), "mask": (24, 32), "kernels": (24, 32), "residual": (24, 32, 3),
        "confidence": (24, 32),
    }  # fmt: skip
    assert maps["kernels"].min() >= 0
    draw_maps(tmp_path / "look.png", tool, frame(0), frame(2), 0.25)
    figure = read_image(tmp_path / "look.png")
    assert figure.shape[1] == 1600
    assert figure.std() > 20
    with pytest.raises(VideoError, match="cannot be drawn"):
        draw_maps(tmp_path / "nowhere" / "look.png", tool, frame(0), frame(2))


def test_drawing_the_flow_of_other_networks_is_refused(tool: Interpolator, frame: Render) -> None:
    with pytest.raises(ValueError, match="predicts no flows"):
        compute_maps(tool, frame(0), frame(1))
