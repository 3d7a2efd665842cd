"""The version, the project metadata and the workflows are consistent."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import midframe

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML_FILES = sorted((ROOT / ".github").rglob("*.yml"))
HEADINGS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The sections of a version in Keep a Changelog."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_version_is_defined_once() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    setting = PROJECT["tool"]["setuptools"]["dynamic"]["version"]
    assert setting == {"attr": "midframe.__version__"}


def test_the_latest_release_of_the_changelog_is_the_cited_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert all(date for _, date in versions[1:])
    citation = read(ROOT / "CITATION.cff")
    assert versions[1] == (citation["version"], str(citation["date-released"]))
    assert midframe.__version__.startswith(citation["version"])


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= HEADINGS


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.stem)
def test_github_files_are_valid_yaml(path: Path) -> None:
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_read_only_by_default(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_extras_and_files_in_workflows_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert set(re.findall(r"\.\[(\w+)\]", text)) <= extras
    for name in re.findall(r"\b(?:examples|docs)/\w+\.\w+|\bconstraints\.txt", text):
        assert (ROOT / name).exists(), name


def test_the_tested_python_versions_are_those_of_the_classifiers() -> None:
    tested = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    declared = [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"]]
    assert tested["python"] == [each for each in declared if each.startswith("3.")]


def test_files_copied_by_the_dockerfile_exist_and_are_not_ignored() -> None:
    copied = re.findall(
        r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"].values()
    declared = [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[<>=\[;! ]", each.lower())[0].replace("_", "-") for each in declared}
    assert names - pinned == {"midframe", "triton"}  # PyTorch requires its own version of Triton
