"""The version, the files about the project and the workflows agree with each other."""

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
FORMS = sorted((ROOT / ".github").rglob("*.yml"))
HEADINGS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The sections of a version by Keep a Changelog."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_version_is_written_once() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    setting = PROJECT["tool"]["setuptools"]["dynamic"]["version"]
    assert setting == {"attr": "midframe.__version__"}


def test_the_newest_release_of_the_changelog_is_the_version_to_be_cited() -> None:
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


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_files_for_the_host_can_be_read(path: Path) -> None:
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_write_only_where_a_job_states_it(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_extras_and_files_that_a_workflow_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert set(re.findall(r"\.\[(\w+)\]", text)) <= extras
    for name in re.findall(r"\b(?:examples|docs)/\w+\.\w+|\bconstraints\.txt", text):
        assert (ROOT / name).exists(), name


def test_the_tested_versions_of_python_are_those_that_the_package_names() -> None:
    tested = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    named = [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"]]
    assert tested["python"] == [each for each in named if each.startswith("3.")]


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
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
    named = [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[<>=\[;! ]", each.lower())[0].replace("_", "-") for each in named}
    assert names - pinned == {"midframe", "triton"}  # that of PyTorch's own requirements
