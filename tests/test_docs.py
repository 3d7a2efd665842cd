"""What the documents say is tried."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


MODULES = [
    "ops.separable.op",
    "models.aliases",
    "models.checkpoint",
    "models.flowsep.layout",
    "interpolator",
    "api",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(f"midframe.{name}")
    result = doctest.testmod(module, extraglobs={"torch": importlib.import_module("torch")})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run(
        [sys.executable, ROOT / "examples" / "render_sample.py", "sample.mp4"],
        cwd=folder,
        check=True,
    )
    return folder / "sample.mp4"


@pytest.mark.slow
@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_in_the_readme_runs(
    block: str, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sample.parent)
    exec(compile(block, "README.md", "exec"), {})


def test_commands_in_the_readme_exist() -> None:
    from midframe.cli import app
    from midframe.cli.datasets import dataset_app

    known = {
        command.callback.__name__ for command in app.registered_commands if command.callback
    } | {"dataset"}
    inner = {command.name for command in dataset_app.registered_commands}
    used = re.findall(r"^ +midframe (\w+)(?: (\w+))?", README, re.MULTILINE)
    assert {first for first, _ in used} <= known
    assert {second for first, second in used if first == "dataset"} <= inner
    assert len(used) > 6


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_example_picture_is_drawn(sample: Path) -> None:
    command = [
        sys.executable,
        ROOT / "examples" / "before_after.py",
        "sample.mp4",
        "3",
        "picture.png",
    ]
    subprocess.run(command, cwd=sample.parent, check=True)
    assert (sample.parent / "picture.png").stat().st_size > 10000


@pytest.mark.slow
def test_a_built_wheel_holds_the_weights(tmp_path: Path) -> None:
    import zipfile

    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    names_of_weights = ("adaconv", "flowsep", "flowsep-small", "sepconv")
    weights = {f"midframe/models/weights/{name}.safetensors" for name in names_of_weights}
    assert {"midframe/py.typed", "midframe/models/weights/index.json", *weights} <= set(names)
