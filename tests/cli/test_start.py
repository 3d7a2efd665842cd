"""Start of the command line: it checks arguments before it imports PyTorch."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.flowsep import TINY
from helpers.signals import default_signals

from midframe.interpolator import Interpolator
from midframe.media.pictures.images import write_image
from midframe.models.flowsep import FlowSep
from midframe.ops.halide_tools import Pipeline

RUN = """
import atexit, sys
from midframe.process import configure_process
configure_process()
names = sys.argv.pop(1).split(",")
atexit.register(lambda: print("loaded:", [name for name in names if name in sys.modules]))
from midframe.cli import main
main()
"""
"""Runs the command line that follows the first argument, a list of modules, and prints those of the
modules that were imported."""


def run_and_list(modules: str, *arguments: object) -> tuple[int, str, str]:
    """Run a command line in a new process: status, standard error and imported modules."""
    command = [sys.executable, "-c", RUN, modules, *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return (
        completed.returncode,
        completed.stderr,
        completed.stdout.rpartition("loaded: ")[2].strip(),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["video", "--help"],
        ["image", "--help"],
        ["dataset", "create", "--help"],
        ["web", "--help"],
        ["web", "--host", "0.0.0.0"],
        ["web", "--max-mb", "none"],
        ["nosuch"],
        ["video", "a.mp4", "--factor", "two"],
        ["models"],
        ["presets"],
    ],
)
def test_help_and_wrong_usage_import_neither_pytorch_nor_ffmpeg(arguments: list[str]) -> None:
    status, errors, loaded = run_and_list("torch,av,numpy,PIL,gradio", *arguments)
    assert status in (0, 1, 2), errors
    assert loaded == "[]"


@pytest.fixture
def folder(
    tmp_path: Path, render_video: Callable[..., Path], frame: Callable[..., np.ndarray]
) -> Path:
    render_video(frames=3, sound=False)
    render_video("other.mp4", frames=3, sound=False)
    (tmp_path / "text.mp4").write_text("no video")
    write_image(tmp_path / "a.png", frame(0))
    write_image(tmp_path / "b.png", frame(2))
    write_image(tmp_path / "small.png", frame(0, 32, 48))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("video missing.mp4", "missing.mp4 does not exist"),
        ("video text.mp4", "cannot be opened as a video"),
        ("video in.mp4 other.mp4", "other.mp4 exists"),
        ("video in.mp4 other.mp4 --overwrite", "was not written by midframe"),
        ("video in.mp4 out.doc", "choose a name that ends in"),
        ("video in.mp4 nowhere/out.mp4", "nowhere is not a folder"),
        ("video in.mp4 --model nosuch", "no weights 'nosuch'"),
        ("video in.mp4 --device abacus", "is 'abacus', which is not available"),
        ("video in.mp4 --codec nosuch", "no video codec 'nosuch'"),
        ("video in.mp4 --crf 99", "--crf is 99"),
        ("video in.mp4 --preset quick", "has no preset 'quick'"),
        ("video in.mp4 --encoder-option tuna=film", "has no option 'tuna'"),
        ("video in.mp4 --factor 0", "factor is 0"),
        ("compare missing.mp4", "missing.mp4 does not exist"),
        ("compare in.mp4 --slower 0", "slower"),
        ("score text.mp4", "cannot be opened as a video"),
        ("image a.png missing.png", "missing.png does not exist"),
        ("image a.png small.png", "the images differ in size"),
        ("image a.png b.png small.png", "small.png exists"),
        ("image a.png b.png --model nosuch", "no weights 'nosuch'"),
        ("image a.png b.png --time 2", "--time is 2"),
        ("kernels a.png missing.png", "missing.png does not exist"),
        ("visualize a.png b.png small.png", "small.png exists"),
        ("evaluate nowhere", "does not exist"),
        ("export nosuch out.onnx", "no weights 'nosuch'"),
    ],
)
def test_invalid_arguments_are_refused_before_pytorch_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    status, errors, loaded = run_and_list("torch", *arguments.split())
    assert status in (1, 2)
    assert message in errors
    assert loaded == "[]"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    """Record the Halide pipelines that run, in order."""
    recorded: list[Pipeline] = []
    run = Pipeline.__call__

    def record(self: Pipeline, *values: Any) -> None:
        recorded.append(self)
        run(self, *values)

    monkeypatch.setattr(Pipeline, "__call__", record)
    return recorded


def test_a_single_pair_of_small_frames_compiles_nothing(
    frame: Callable[..., np.ndarray], calls: list[Pipeline]
) -> None:
    torch.manual_seed(0)
    network = FlowSep(TINY)
    uncompiled = Interpolator(network, device="cpu", precision="float32", single_pair=True)
    middle = uncompiled.interpolate(frame(0), frame(2))
    assert not calls
    compiled = Interpolator(network, device="cpu", precision="float32")
    expected = compiled.interpolate(frame(0), frame(2))
    assert calls
    assert np.abs(middle.astype(int) - expected).max() <= 1


def test_many_frames_of_a_single_pair_use_compiled_pipelines(
    frame: Callable[..., np.ndarray], calls: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FlowSep, "max_plain_pixels", 3 * frame(0).shape[0] * frame(0).shape[1])
    tool = Interpolator(FlowSep(TINY), device="cpu", precision="float32", single_pair=True)
    tool.interpolate_many(frame(0), frame(2), [0.25, 0.5, 0.75])
    assert not calls
    tool.interpolate_many(frame(0), frame(2), [0.2, 0.4, 0.6, 0.8])
    assert calls


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_during_the_imports_ends_without_a_traceback() -> None:
    script = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == sys.argv[1]:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import midframe.__main__\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    for name, status in (("midframe.cli", -signal.SIGINT), ("none", 0)):
        with default_signals():
            completed = subprocess.run(
                [sys.executable, "-c", script, name], capture_output=True, timeout=60
            )
        assert (completed.returncode, completed.stderr) == (status, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete the current folder")
def test_a_deleted_current_folder_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    code = f"import os; os.chdir({str(folder)!r}); os.rmdir({str(folder)!r})\n{RUN}"
    command = [sys.executable, "-c", code, "torch", "doctor"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 1
    assert completed.stderr == (
        "midframe: the current folder was deleted: change to another one, as in cd ~\n"
    )
    assert completed.stdout.endswith("loaded: []\n")


def test_an_empty_argument_is_refused() -> None:
    for arguments in (["video", "", "out.mp4"], ["video", "in.mp4", ""], ["batch", "", "out"]):
        status, errors, _ = run_and_list("torch", *arguments)
        assert (status, errors) == (
            1,
            "midframe: an argument is empty: check the variables of your command\n",
        )
