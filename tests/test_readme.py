"""Every block of commands in the README runs unchanged in a folder with small videos."""

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.video import render_frame

from midframe.media.pictures.images import write_image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
SETUP = [block for block in BLOCKS if "venv" in block]
COMMANDS = [block for block in BLOCKS if "venv" not in block]
MAX_COLUMNS = 120
MAX_TASK_LINES = 6
COPIED_FILES = ("README.md", "LICENSE", "pyproject.toml", "constraints.txt", "examples", "src")
UNUSED_WEIGHTS = ("adaconv.safetensors", "sepconv.safetensors")
"""Omitted from the copy, to package it faster."""
TOY_TRAINING = (
    "--set minutes=0 --set steps=1 --set batch=1 --set crops=[[0.0,64]] --set warm_up=1 "
    "--set workers=0 --set validation_patches=1 --set validation_frames=1"
)
"""Appended to `midframe train`, which would otherwise take an hour."""


def test_lines_of_the_readme_have_at_most_120_columns() -> None:
    assert [line for line in README.splitlines() if len(line) > MAX_COLUMNS] == []


def test_all_blocks_of_the_readme_are_python_or_shell() -> None:
    assert set(re.findall(r"^```(\w*)\n", README, re.MULTILINE)) == {"", "python", "sh"}
    assert re.findall(r"^ {4}\S", README, re.MULTILINE) == []
    assert len(SETUP) == 2
    assert len(COMMANDS) > 4


def test_a_block_of_the_readme_has_at_most_six_lines() -> None:
    assert [block for block in BLOCKS if len(block.splitlines()) > MAX_TASK_LINES] == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the files that an installation needs, and write one test."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", *UNUSED_WEIGHTS)
    for name in COPIED_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_package.py").write_text(
        "import midframe\n\n\ndef test_installation():\n    assert 'copy' in midframe.__file__\n"
    )
    return folder


@pytest.fixture
def without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip use the packages of this environment for everything except midframe itself."""
    packages = sysconfig.get_path("purelib")
    for name, value in {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads the negated value: without isolation
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": packages,
        "PYTEST_ADDOPTS": "-o pythonpath= -p no:cacheprovider",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform == "win32", reason="virtual environments have other folders on Windows"
)
@pytest.mark.parametrize("block", SETUP)
@pytest.mark.usefixtures("without_downloads")
def test_the_setup_runs_in_a_new_environment(block: str, copy: Path) -> None:
    shutil.rmtree(copy / ".venv", ignore_errors=True)
    completed = subprocess.run(
        ["bash", "-c", block], cwd=copy, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-2000:]
    assert "sample" not in block or (copy / "sample-x2.mp4").exists()
    assert "pytest" not in block or "1 passed" in completed.stdout


@pytest.fixture
def folder(
    tmp_path: Path, render_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write the inputs of the commands: videos, a folder of videos, images, a scene, settings."""
    render_video("holiday.mp4", frames=72, rate=Fraction(1), sound=False)
    render_video("film.mkv")
    render_video("dance.mp4")
    (tmp_path / "holiday").mkdir()
    for name in ("a.mp4", "b.mp4"):
        render_video(f"holiday/{name}", frames=16, size=(192, 256), sound=False)
    for name, time in (("first", 0), ("second", 2)):
        write_image(tmp_path / f"{name}.png", render_frame(time))
    scene = tmp_path / "middlebury" / "scene"
    scene.mkdir(parents=True)
    for name, time in (("frame10", 0), ("frame10i11", 1), ("frame11", 2)):
        write_image(scene / f"{name}.png", render_frame(time))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    package = tmp_path / "src" / "midframe"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "midframe" / "__init__.py", package)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("without_downloads")
@pytest.mark.parametrize("block", COMMANDS)
def test_a_block_of_commands_runs_without_errors(
    block: str,
    folder: Path,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SimpleNamespace(run=lambda **_: None)  # a real server would not return
    monkeypatch.setattr("midframe.web.server.make_server", lambda *_: server)
    monkeypatch.setattr("midframe.export.export_onnx", lambda _, path, **__: path.touch())
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    for line in block.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        if program == "pip":
            assert_installable(line)
            continue
        assert program == "midframe"
        if "--ray" in arguments:  # tests/cluster runs such batches
            monkeypatch.setattr("midframe.cli.batch.open_cluster_batch", no_cluster)
            monkeypatch.setattr("midframe.cli.batch.start_batch", lambda *_, **__: None)
        arguments += shlex.split(TOY_TRAINING) if arguments[0] == "train" else []
        status, _, errors = run(*arguments)
        assert status == 0, f"{line}: {errors}"
        target = re.search(r"# ([\w-]+\.\w+)\b", line)
        assert target is None or (folder / target[1]).exists(), line


def no_cluster(*_: object, **__: object) -> AbstractContextManager[None]:
    """Replace the connection to a cluster."""
    return nullcontext()


def assert_installable(line: str) -> None:
    """Check a pip command without installing: the package is found and has the extras."""
    completed = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "does not provide the extra" not in completed.stdout + completed.stderr
