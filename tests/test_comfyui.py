"""The nodes for ComfyUI, loaded and called as by ComfyUI, which itself is not installed."""

import importlib.util
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from helpers.flowsep import TINY
from helpers.video import Averager, render_frame

from midframe.interpolator import Interpolator
from midframe.models.flowsep import FlowSep

FOLDER = Path(__file__).parents[1] / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Load the linked folder as a module like ComfyUI: by its path, under a unique name."""
    folder = tmp_path_factory.mktemp("custom_nodes") / "midframe"
    folder.symlink_to(FOLDER, target_is_directory=True)
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for each in [each for each in sys.modules if each.startswith(name)]:
        del sys.modules[each]


@pytest.fixture
def averager(nodes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the network by the average of both frames."""
    inner = sys.modules[f"{nodes.__name__}.nodes"]
    monkeypatch.setattr(inner, "load_interpolator", lambda *_: Averager(2))


def batch(count: int, cut_at: int | None = None) -> torch.Tensor:
    frames = [
        render_frame(n, 32, 48, scene=int(cut_at is not None and n >= cut_at)) for n in range(count)
    ]
    return torch.from_numpy(np.stack(frames)).float() / 255


def run(nodes: ModuleType, name: str, **values: Any) -> tuple[Any, ...]:
    """Run a node; missing inputs get their defaults, as in ComfyUI."""
    node = nodes.NODE_CLASS_MAPPINGS[name]
    inputs: dict[str, Any] = {}
    for group in node.INPUT_TYPES().values():
        for key, (_, *rest) in group.items():
            if rest and "default" in rest[0]:
                inputs[key] = rest[0]["default"]
    with torch.inference_mode():
        outputs: tuple[Any, ...] = getattr(node(), node.FUNCTION)(**{**inputs, **values})
    assert len(outputs) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return outputs


def test_every_node_has_a_title_and_valid_inputs(nodes: ModuleType) -> None:
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in nodes.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION))
        assert node.CATEGORY
        types = node.INPUT_TYPES()
        assert types["required"]["images"][0] == "IMAGE"
        for input_type, *rest in (*types["required"].values(), *types["optional"].values()):
            options = rest[0]
            assert options["tooltip"]
            if isinstance(input_type, list):
                assert options["default"] in input_type
            elif input_type == "FLOAT":
                assert options["min"] <= options["default"] <= options["max"]


@pytest.mark.usefixtures("averager")
def test_source_frames_of_the_batch_are_unchanged(nodes: ModuleType) -> None:
    images = batch(4)
    (result,) = run(nodes, "MidframeInterpolateFrames", images=images)
    assert result.dtype == torch.float32
    assert result.shape == (8, 32, 48, 3)
    assert torch.equal(result[::2], images)
    torch.testing.assert_close(result[1], (images[0] + images[1]) / 2)
    assert torch.equal(result[7], images[3])


@pytest.mark.usefixtures("averager")
@pytest.mark.parametrize(("factor", "frames"), [(2.0, 7), (3.0, 10), (1.0, 4), (2.5, 9)])
def test_without_a_hold_the_result_ends_with_the_last_frame(
    nodes: ModuleType, factor: float, frames: int
) -> None:
    images = batch(4)
    values = {"images": images, "factor": factor, "hold_last": False}
    (result,) = run(nodes, "MidframeInterpolateFrames", **values)
    assert len(result) == frames
    assert not torch.equal(result[-1], result[-2])
    assert torch.equal(result[0], images[0])


@pytest.mark.usefixtures("averager")
def test_the_frame_rate_is_converted_exactly(nodes: ModuleType) -> None:
    images = batch(10)
    values = {"images": images, "source_fps": 23.976, "target_fps": 59.94}
    result, rate = run(nodes, "MidframeConvertFrameRate", **values)
    assert rate == float(Fraction(60000, 1001))
    assert len(result) == 25
    assert torch.equal(result[::5], images[::2])


@pytest.mark.usefixtures("averager")
def test_the_frame_before_a_cut_is_held(nodes: ModuleType) -> None:
    images = batch(8, cut_at=4)
    (result,) = run(nodes, "MidframeInterpolateFrames", images=images)
    assert torch.equal(result[7], images[3])
    (result,) = run(nodes, "MidframeInterpolateFrames", images=images, scene_change=0.0)
    assert not torch.equal(result[7], images[3])


@pytest.mark.usefixtures("averager")
def test_progress_is_reported_to_comfyui(
    nodes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []

    class ProgressBar:
        def __init__(self, total: int) -> None:
            reported.append(-total)

        def update(self, value: int) -> None:
            reported.append(value)

    utils = ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.utils", utils)
    run(nodes, "MidframeInterpolateFrames", images=batch(3))
    assert reported == [-6, 1, 1, 1, 1, 1, 1]


@pytest.mark.usefixtures("averager")
def test_an_interruption_stops_the_work(nodes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class ProgressBar:
        def __init__(self, total: int) -> None: ...

        def update(self, value: int) -> None:
            raise InterruptedError

    utils = ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.utils", utils)
    with pytest.raises(InterruptedError):
        run(nodes, "MidframeInterpolateFrames", images=batch(3))


def test_a_real_network_interpolates_between_images(
    nodes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = sys.modules[f"{nodes.__name__}.nodes"]
    assert inner.load_interpolator("flowsep-small", 2).options.model == "flowsep-small"
    tool = Interpolator(FlowSep(TINY).eval(), device="cpu")
    monkeypatch.setattr(inner, "load_interpolator", lambda *_: tool)
    images = batch(2)
    (result,) = run(nodes, "MidframeInterpolateFrames", images=images, factor=3.0)
    assert result.shape == (6, 32, 48, 3)
    assert 0 <= result.min() <= result.max() <= 1
    assert not torch.equal(result[1], result[2])


@pytest.mark.usefixtures("averager")
def test_alpha_is_kept(nodes: ModuleType) -> None:
    images = torch.cat((batch(2), batch(2)[..., :1]), dim=-1)
    (result,) = run(nodes, "MidframeInterpolateFrames", images=images)
    assert result.shape == (4, 32, 48, 4)
    assert torch.equal(result[::2], images)


@pytest.mark.parametrize("images", [torch.zeros(0, 8, 8, 3), torch.zeros(8, 8, 3)])
def test_an_invalid_batch_is_refused(nodes: ModuleType, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="a batch of images"):
        run(nodes, "MidframeInterpolateFrames", images=images)
