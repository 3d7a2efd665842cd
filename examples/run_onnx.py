"""Interpolate between two images with an exported network, in ONNX Runtime or OpenVINO.

    midframe export flowsep flowsep.onnx
    python examples/run_onnx.py flowsep.onnx first.png second.png middle.png
    python examples/run_onnx.py flowsep.onnx first.png second.png quarter.png --time 0.25
        --engine openvino

Only NumPy, Pillow and the engine are needed: `pip install onnxruntime` or `pip install openvino`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STRIDE = 16
"""The network takes frames whose height and width are multiples of this."""
Array = np.ndarray[Any, Any]
Network = Callable[[Array, Array, Array], Array]
"""Maps two frames (1, 3, H, W) from 0 to 1, and a time (1,) from 0 to 1, to a frame."""


def load_onnxruntime(model: Path, threads: int = 0) -> Network:
    """Load an exported network in ONNX Runtime; 0 threads are as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])

    def run(first: Array, second: Array, time: Array) -> Array:
        (between,) = session.run(None, {"first": first, "second": second, "time": time})
        return np.asarray(between)

    return run


def load_openvino(model: Path, threads: int = 0, precision: str = "f32") -> Network:
    """Load an exported network in OpenVINO; `precision` is "f32", "bf16" or "f16"."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(str(model), "CPU", options)

    def run(first: Array, second: Array, time: Array) -> Array:
        return np.asarray(compiled({"first": first, "second": second, "time": time})[0])

    return run


ENGINES: dict[str, Callable[[Path], Network]] = {
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
}


def interpolate(network: Network, first: Array, second: Array, time: float = 0.5) -> Array:
    """Interpolate between two images (H, W, 3) uint8 of any size, at a time from 0 to 1."""
    height, width = first.shape[:2]
    given = [pad(np.asarray(each, np.float32) / 255) for each in (first, second)]
    between = network(given[0], given[1], np.array([time], np.float32))[0, :, :height, :width]
    return np.asarray(np.rint(between.transpose(1, 2, 0) * 255), np.uint8)


def pad(frame: Array) -> Array:
    """Convert (H, W, 3) to (1, 3, H, W), with the borders repeated to a multiple of the stride."""
    height, width = frame.shape[:2]
    padding = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    padded = np.pad(frame, padding, mode="edge")
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None])


def main() -> None:
    parser = argparse.ArgumentParser(description="Interpolate between two images.")
    parser.add_argument("model", type=Path, help="file that `midframe export` wrote")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--time", type=float, default=0.5, help="from 0 to 1")
    parser.add_argument("--engine", choices=ENGINES, default="onnxruntime")
    options = parser.parse_args()
    first, second = (
        np.asarray(Image.open(each).convert("RGB")) for each in (options.first, options.second)
    )
    if first.shape != second.shape:
        parser.error(f"both images must have one size, got {first.shape} and {second.shape}")
    network = ENGINES[options.engine](options.model)
    Image.fromarray(interpolate(network, first, second, options.time)).save(options.output)


if __name__ == "__main__":
    main()
