"""The documentation site is built without warnings and without network access."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

pytest.importorskip("mkdocs", reason="needs the extra docs")
pytest.importorskip("material", reason="needs the extra docs")
pytest.importorskip("mkdocstrings", reason="needs the extra docs")

ROOT = Path(__file__).parents[1]
EXTERNAL = re.compile(r"""<(?:link|script|img|source)[^>]* (?:src|href)="?(https?://[^" >]+)""")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    completed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_every_document_is_a_page_of_the_site(site: Path, hooks: ModuleType) -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        path = PurePosixPath(
            hooks.place_on_site(PurePosixPath(page.relative_to(ROOT).as_posix()))
        ).with_suffix("")
        html = site / ("index.html" if path.name == "index" else f"{path}/index.html")
        assert html.exists(), page


def test_all_commands_and_options_are_in_the_reference(site: Path) -> None:
    text = (site / "cli-reference" / "index.html").read_text(encoding="utf-8")
    for name in ("midframe-video", "midframe-dataset-create", "midframe-evaluate"):
        assert f'id="{name}"' in text
    assert "--cut-threshold SCORE" in text
    assert "midframe-look" not in text


def test_docstrings_are_in_the_reference(site: Path) -> None:
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name in ("api.interpolate", "interpolator.Interpolator", "errors.VideoError"):
        assert f'id="midframe.{name}"' in text


def test_the_site_loads_nothing_from_other_sites(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert EXTERNAL.findall(page.read_text(encoding="utf-8")) == [], page


def test_a_link_to_a_folder_is_resolved_to_its_page(hooks: ModuleType) -> None:
    resolved = hooks.resolve(PurePosixPath("docs/integrations.md"), "../integrations/comfyui")
    assert hooks.place_on_site(resolved) == "comfyui.md"


def test_links_to_other_files_of_the_repository_are_resolved_to_copies(
    site: Path, hooks: ModuleType
) -> None:
    resolved = hooks.resolve(PurePosixPath("docs/models/sepconv.md"), "../../configs/sepconv.toml")
    copied = site / hooks.place_on_site(resolved)
    assert copied.read_bytes() == (ROOT / "configs" / "sepconv.toml").read_bytes()
