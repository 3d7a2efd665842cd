"""ONNX files, run by ONNX Runtime."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.flowsep import TINY, frames

from midframe.export import export_onnx
from midframe.models.checkpoint import build_model
from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.ops.resampling import RESAMPLINGS, Resampling

onnxruntime = pytest.importorskip("onnxruntime")


SMALL = {
    "radii": (0, 0, 0, 1),
    "bidirectional_levels": 0,
    "propagation_distance": 0,
    "dominant_motions": 2,
}
CONFIGS: dict[Resampling, FlowSepConfig] = {
    "linear": TINY,
    "cubic": dataclasses.replace(TINY, resampling="cubic", **SMALL),  # type: ignore[arg-type]
}
"""One with all steps, which takes long to export, and one with only the steps that resample."""


@pytest.mark.slow
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_onnx_runtime_gives_the_same_frames(tmp_path: Path, resampling: Resampling) -> None:
    torch.manual_seed(0)
    model = FlowSep(CONFIGS[resampling]).eval()
    for decoder in model.decoders:
        torch.nn.init.normal_(decoder.head.weight, std=0.01)  # type: ignore[arg-type,union-attr]
    export_onnx(model, tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    session = onnxruntime.InferenceSession(
        str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"]
    )
    for size, time in (((64, 96), 0.25), ((112, 48), 0.5)):
        first, second = frames(*size)
        inputs = {
            "first": first.numpy(),
            "second": second.numpy(),
            "time": np.array([time], np.float32),
        }
        (output,) = session.run(["between"], inputs)
        with torch.no_grad():
            expected = model(first, second, time).clamp(0, 1)
        torch.testing.assert_close(torch.from_numpy(output), expected, atol=1e-3, rtol=1e-3)
        (static,) = session.run(["between"], {**inputs, "second": inputs["first"]})
        torch.testing.assert_close(torch.from_numpy(static), first, atol=1e-4, rtol=0)


def test_exporting_other_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SepConv is not supported"):
        export_onnx(build_model("sepconv", {"widths": [4, 8], "taps": 3}), tmp_path / "a.onnx")
