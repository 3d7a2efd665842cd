"""Measure an exported network in ONNX Runtime and OpenVINO beside midframe's own implementation.

    midframe export flowsep flowsep.onnx
    python benchmarks/engines.py flowsep.onnx [--model flowsep] [--size 960x540] [--rounds 5]

Frames of up to 600 rows, which midframe too processes at full resolution and without coarse passes,
one pair at a time. The engines are timed in turns, with one thread and by processor time, so that
other work on the machine counts little; the table has the fastest round.
OpenVINO is measured if it is installed. The differences are those of the frames from midframe's in
float32.
"""

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import numpy as np
import torch

from midframe.defaults import DEFAULT_MODEL
from midframe.devices import choose_precision
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.options import Precision
from midframe.speeds import make_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from run_onnx import Network, interpolate, load_onnxruntime, load_openvino

Method = Callable[[Array, Array], Array]
THREADS = 1


def load_engines(file: Path, model: str) -> dict[str, Method]:
    """Load the network in all engines that are installed."""
    methods: dict[str, Method] = {
        f"midframe, {precision}": Interpolator(model, device="cpu", precision=precision).interpolate
        for precision in _precisions()
    }
    methods["ONNX Runtime, float32"] = _method(load_onnxruntime(file, THREADS))
    if find_spec("openvino"):
        for hint, precision in (("f32", "float32"), ("bf16", "bfloat16")):
            methods[f"OpenVINO, {precision}"] = _method(load_openvino(file, THREADS, hint))
    return methods


def _precisions() -> list[Precision]:
    fast = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    return ["float32", "bfloat16"] if fast else ["float32"]


def _method(network: Network) -> Method:
    return lambda first, second: np.asarray(interpolate(network, first, second))


def measure(
    methods: dict[str, Method], pair: tuple[Array, Array], rounds: int
) -> dict[str, tuple[float, float]]:
    """Return for each method the processor time of its fastest round in seconds, and the mean
    absolute difference of its frame from that of the first method, in grey levels."""
    frames = {name: method(*pair).astype(int) for name, method in methods.items()}  # compiles
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            begin = process_time()
            method(*pair)
            times[name].append(process_time() - begin)
    exact = next(iter(frames.values()))
    return {name: (min(times[name]), float(abs(frames[name] - exact).mean())) for name in methods}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of an exported network.")
    parser.add_argument("file", type=Path, help="file that `midframe export` wrote")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="the network of the file")
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["HL_NUM_THREADS"] = str(THREADS)  # before Halide is loaded
    torch.set_num_threads(THREADS)
    width, height = map(int, options.size.split("x"))
    found = measure(
        load_engines(options.file, options.model), make_frames(height, width), options.rounds
    )
    print("| engine | seconds per frame | difference |\n|---|---|---|")
    for name, (seconds, difference) in found.items():
        print(f"| {name} | {seconds:.3f} | {difference:.4f} |")


if __name__ == "__main__":
    main()
