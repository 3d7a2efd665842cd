"""Examples that the tests of the documentation do not run."""

import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.video import render_frame
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "examples" / "run_onnx.py"
ENGINES = [name for name in ("onnxruntime", "openvino") if find_spec(name)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write an ONNX file with the inputs and output of an exported network, which blends frames."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    frame = [1, 3, "rows", "columns"]
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Sub", ["second", "first"], ["change"]),
        helper.make_node("Mul", ["change", "time"], ["weighted_change"]),
        helper.make_node("Add", ["first", "weighted_change"], ["between"]),
    ]
    shapes = {"first": frame, "second": frame, "time": [1], "between": frame}
    values = {
        name: helper.make_tensor_value_info(name, float32, shape) for name, shape in shapes.items()
    }
    output = values.pop("between")
    graph = helper.make_graph(nodes, "blend", list(values.values()), [output])
    opsets = [helper.make_opsetid("", 18)]
    path = tmp_path / "blend.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exported_network_interpolates_images_of_any_size(model: Path, engine: str) -> None:
    example = runpy.run_path(str(EXAMPLE))
    first, second = render_frame(0, 45, 67), render_frame(1, 45, 67)
    network = example["ENGINES"][engine](model)
    result = example["interpolate"](network, first, second, 0.25)
    expected = np.rint(first * 0.75 + second * 0.25)
    assert result.dtype == np.uint8
    assert abs(result - expected).max() <= 1  # rounding may differ


@pytest.mark.skipif(not ENGINES, reason="no engine is installed")
def test_the_example_writes_an_image_without_midframe(model: Path, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(render_frame(number, 32, 50)).save(tmp_path / f"{number}.png")
    files = [tmp_path / "0.png", tmp_path / "1.png", tmp_path / "out.png"]
    command = [sys.executable, EXAMPLE, model, *files, "--engine", ENGINES[0]]
    subprocess.run(command, check=True)
    with Image.open(files[-1]) as image:
        assert image.size == (50, 32)
    assert "import midframe" not in EXAMPLE.read_text()


@pytest.mark.parametrize("name", ["animation", "before_after", "failures", "render_sample"])
def test_an_example_without_its_arguments_prints_how_it_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = EXAMPLE.with_name(f"{name}.py")
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit, match=rf"python examples/{name}\.py "):
        runpy.run_path(str(path), run_name="__main__")
