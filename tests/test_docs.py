"""Examples, commands, links and figures in the documentation are correct."""

import doctest
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CARDS = sorted((ROOT / "docs" / "models").glob("*.md"))
LINK = re.compile(r"\]\((?!http)([^)#]*)#?([^)]*)\)")
PROGRAM = re.compile(r"python ((?:benchmarks|examples|tests|docs)/\S+\.py)")
SENTENCE_END = re.compile(r"[a-z0-9)`*\]]{2,}[.!?]\*? [A-Z`]")
MAX_CARD_LINES = 80
"""The maximum number of lines of a model card."""


MODULES = [
    "ops.separable.op",
    "models.aliases",
    "models.checkpoint",
    "models.flowsep.layout",
    "interpolator",
    "video.lookup",
    "api",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_correct(name: str) -> None:
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


PYTHON = re.findall(
    r"```python\n(.*?)```",
    README + (ROOT / "docs" / "python.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_in_the_documents_run(
    block: str, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sample, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def code_of(text: str) -> str:
    """Return the lines of the indented blocks and of the fenced shell blocks."""
    fenced = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join([*re.findall(r"^ {4,}.*", text, re.MULTILINE), *fenced])


def test_commands_in_the_readme_exist() -> None:
    from midframe.cli import app
    from midframe.cli.datasets import dataset_app

    known = {
        command.callback.__name__ for command in app.registered_commands if command.callback
    } | {"dataset"}
    inner = {command.name for command in dataset_app.registered_commands}
    used = re.findall(r"^midframe (\w+)(?: (\w+))?", code_of(README), re.MULTILINE)
    assert {first for first, _ in used} <= known
    assert {second for first, second in used if first == "dataset"} <= inner
    assert len(used) > 6


def commands_of(text: str) -> list[list[str]]:
    """Return the arguments of each command line of midframe in the blocks of a page."""
    lines = re.findall(r"^(?: {4,})?(midframe [^#\n|]*)", code_of(text), re.MULTILINE)
    return [shlex.split(re.sub(r"[\[\]]", " ", line)) for line in lines]


def find_command(arguments: list[str]) -> Any:
    """Return the command that a command line runs, such as `midframe dataset create VIDEOS`."""
    from typer.main import get_command

    from midframe.cli import app

    command: Any = get_command(app)
    for name in arguments[1:]:
        command = command.commands[name] if hasattr(command, "commands") else command
    return command


def test_options_of_commands_in_the_documents_exist() -> None:
    count = 0
    for page in PAGES:
        for arguments in commands_of(page.read_text()):
            parameters = find_command(arguments).params
            known = {name for each in parameters for name in (*each.opts, *each.secondary_opts)}
            used = {argument for argument in arguments if argument.startswith("--")}
            assert used <= known, f"{page.name}: {used - known}"
            count += len(used)
    assert count > 30


def test_programs_in_the_documents_exist() -> None:
    for page in PAGES:
        for program in re.findall(
            r"python ((?:benchmarks|examples|tests|docs)/\S+\.py)", page.read_text()
        ):
            assert (ROOT / program).exists(), f"{page.name}: {program}"


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub derives from the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_link_targets_in_the_documents_exist(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), f"{target}#{anchor}"


def test_every_document_can_be_reached_from_the_readme() -> None:
    visited, open_pages = set(), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        visited.add(page)
        links = {(page.parent / target).resolve() for target, _ in LINK.findall(page.read_text())}
        open_pages += [each for each in links if each.suffix == ".md" and each not in visited]
    assert visited >= set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_sentence_of_a_document_has_its_own_line(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("its entries are older than this rule")
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "    "))]
    assert [line for line in lines if SENTENCE_END.search(line)] == []


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.stem)
def test_a_model_card_has_at_most_80_lines(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= MAX_CARD_LINES


def test_every_shipped_model_has_a_card() -> None:
    from midframe.models.shipped import list_models

    assert {page.stem for page in CARDS} == set(list_models())


def test_the_architecture_diagram_matches_the_imports() -> None:
    """If it fails, run `python docs/draw_architecture.py`."""
    path = ROOT / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location("draw_architecture", path)
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    assert drawing.PICTURE.read_text() == drawing.draw()


@pytest.mark.slow
def test_the_example_figure_is_drawn(sample: Path) -> None:
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
@pytest.mark.parametrize(
    ("program", "arguments", "results"),
    [
        ("examples/animation.py", ["3", "4", "a.webp", "0,0,160,96"], ["a.webp"]),
        (
            "docs/draw_how_it_works.py",
            ["3", "32,32,160,128", "80,64", "."],
            ["how-adaconv.png", "how-sepconv.png", "how-flowsep.png"],
        ),
    ],
)
def test_the_figures_of_the_documents_are_drawn(
    program: str, arguments: list[str], results: list[str], sample: Path
) -> None:
    subprocess.run(
        [sys.executable, ROOT / program, "sample.mp4", *arguments], cwd=sample.parent, check=True
    )
    for name in results:
        assert (sample.parent / name).stat().st_size > 3000


@pytest.mark.slow
def test_a_built_wheel_contains_the_weights_and_presets(tmp_path: Path) -> None:
    import zipfile

    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    weight_names = ("adaconv", "flowsep", "flowsep-small", "sepconv")
    weights = {f"midframe/models/weights/{name}.safetensors" for name in weight_names}
    presets = {f"midframe/presets/{name}.toml" for name in ("anime", "film60", "phone")}
    files = {"midframe/py.typed", "midframe/models/weights/index.json", *weights, *presets}
    assert files <= set(names)
