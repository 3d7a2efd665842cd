"""Hooks of MkDocs that build the site from the same files that are read in the repository.

Pages outside docs/ (`OTHER_PAGES`) become pages of the site, and files outside docs/ that pages
link to (settings, scripts) become files of it, so that each link works in both places.
The reference of commands is generated from the application.
"""

import inspect
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs"
OTHER_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "integrations/comfyui/README.md": "comfyui.md",
}
"""Pages outside docs/, and their names on the site."""
OTHER_FILES = "repository"
"""The folder of the site for other files of the repository."""
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")
"""The target of a link to a file, without its anchor."""
COMMANDS = "<!-- commands -->"
"""Where a page shows all commands."""


def place_on_site(file: PurePosixPath) -> str:
    """Return the path on the site of a file of the repository; both are relative."""
    if file.parts[0] == DOCS:
        return str(PurePosixPath(*file.parts[1:]))
    return OTHER_PAGES.get(str(file)) or f"{OTHER_FILES}/{file}{'' if file.suffix else '.txt'}"


def resolve(page: PurePosixPath, target: str) -> PurePosixPath:
    """Return the file of the repository that a link on a page leads to; of a folder, its page."""
    linked = PurePosixPath(posixpath.normpath(page.parent / target))
    return linked / "README.md" if (ROOT / linked / "README.md").is_file() else linked


def source_of(file: File) -> PurePosixPath:
    """Return the file of the repository that a page of the site is made from."""
    pages = {place: name for name, place in OTHER_PAGES.items()}
    return PurePosixPath(pages.get(file.src_uri, f"{DOCS}/{file.src_uri}"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files outside docs/ that pages link to."""
    for name, place in OTHER_PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for page in [each for each in files if each.is_documentation_page()]:
        source = source_of(page)
        for target in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            linked = resolve(source, target)
            place = place_on_site(linked)
            if place not in files.src_uris and (ROOT / linked).is_file():
                files.append(File.generated(config, place, abs_src_path=str(ROOT / linked)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links outside docs/ to the site's copies, and insert the commands."""
    source = source_of(page.file)
    here = posixpath.dirname(page.file.src_uri)

    def relink(match: re.Match[str]) -> str:
        return posixpath.relpath(place_on_site(resolve(source, match[1])), here or ".")

    return LINK.sub(relink, markdown).replace(COMMANDS, reference_of_commands())


def reference_of_commands() -> str:
    """Return Markdown with the options of every command, in the order of `midframe --help`."""
    from typer.main import get_command

    from midframe.cli import app

    return "\n".join(sections_of(get_command(app), "midframe", None))


def sections_of(command: Any, path: str, parent: Any) -> list[str]:
    """Return the lines of a command and of the commands below it."""
    from midframe.cli.help import usage

    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    lines = [f"## {path}", "", inspect.cleandoc(command.help or ""), ""]
    lines += ["```console", f"$ {path} {usage(command)}", "```", ""]
    if command.epilog:
        lines += ["```sh", inspect.cleandoc(command.epilog), "```", ""]
    lines += tables_of(command, context)
    if hasattr(command, "list_commands"):
        inner = [command.get_command(context, name) for name in command.list_commands(context)]
        for each in inner:
            if not each.hidden:
                lines += sections_of(each, f"{path} {each.name}", context)
    return lines


def tables_of(command: Any, context: Any) -> list[str]:
    """Return a table for each panel of the parameters of a command."""
    from midframe.cli.help import help_row, panel_title

    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        if not getattr(parameter, "hidden", False):
            panels.setdefault(panel_title(parameter), []).append(help_row(parameter, context))
    lines = []
    for title, rows in panels.items():
        lines += [f"| {title} | |", "|---|---|"]
        lines += [
            f"| `{name.replace('|', chr(92) + '|')}` | {escape(text)} |" for name, text in rows
        ]
        lines.append("")
    return lines


def escape(text: str) -> str:
    """Escape a help text for a cell of a table, outside of its code."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [re.sub(r"([\\*_<>|\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
