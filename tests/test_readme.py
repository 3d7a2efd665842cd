"""Every block of commands in the readme runs, as it stands there, in a folder with small videos."""

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
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
PARTS_OF_A_COPY = ("README.md", "LICENSE", "pyproject.toml", "constraints.txt", "examples", "src")
UNUSED_WEIGHTS = ("adaconv.safetensors", "sepconv.safetensors")
"""Omitted from the copy, which is packed faster without them."""
TOY_TRAINING = (
    "--set minutes=0 --set steps=1 --set batch=1 --set crops=[[0.0,64]] --set warm_up=1 "
    "--set workers=0 --set validation_patches=1 --set validation_frames=1"
)
"""Appended to `midframe train`, which would take an hour."""


def test_lines_of_the_readme_have_at_most_120_columns() -> None:
    assert [line for line in README.splitlines() if len(line) > MAX_COLUMNS] == []


def test_all_blocks_of_the_readme_are_python_or_shell() -> None:
    assert set(re.findall(r"^```(\w*)\n", README, re.MULTILINE)) == {"", "python", "sh"}
    assert re.findall(r"^ {4}\S", README, re.MULTILINE) == []
    assert len(SETUP) == 2
    assert len(COMMANDS) > 4


def test_a_task_of_the_readme_has_at_most_six_lines_of_commands() -> None:
    assert [block for block in BLOCKS if len(block.splitlines()) > MAX_TASK_LINES] == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that an installation needs, and of one test."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", *UNUSED_WEIGHTS)
    for name in PARTS_OF_A_COPY:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_package.py").write_text(
        "import midframe\n\n\ndef test_it_is_installed():\n    assert 'copy' in midframe.__file__\n"
    )
    return folder


@pytest.fixture
def without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip take everything but midframe itself from the packages of this environment."""
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
@pytest.mark.skipif(sys.platform == "win32", reason="a virtual environment has other folders there")
@pytest.mark.parametrize("block", SETUP)
@pytest.mark.usefixtures("without_downloads")
def test_the_setup_runs_from_nothing(block: str, copy: Path) -> None:
    shutil.rmtree(copy / ".venv", ignore_errors=True)
    done = subprocess.run(
        ["bash", "-c", block], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "sample" not in block or (copy / "sample-x2.mp4").exists()
    assert "pytest" not in block or "1 passed" in done.stdout


@pytest.fixture
def folder(
    tmp_path: Path, render_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What the commands read: videos, a folder of them, two pictures, a scene, the settings."""
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
def test_a_block_of_commands_runs(
    block: str,
    folder: Path,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SimpleNamespace(run=lambda **_: None)  # a real one would serve for ever
    monkeypatch.setattr("midframe.web.server.make_server", lambda *_: server)
    monkeypatch.setattr("midframe.export.export_onnx", lambda _, path, **__: path.touch())
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    for line in block.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "pip":
            assert_installable(line)
            continue
        assert program == "midframe"
        words += shlex.split(TOY_TRAINING) if words[0] == "train" else []
        status, _, errors = run(*words)
        assert status == 0, f"{line}: {errors}"
        named = re.search(r"# ([\w-]+\.\w+)\b", line)
        assert named is None or (folder / named[1]).exists(), line


def assert_installable(line: str) -> None:
    """Check a command of pip without installing: the package is found and has the extras."""
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stdout + done.stderr
