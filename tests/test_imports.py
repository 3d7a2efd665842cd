import ast
from pathlib import Path

import midframe

PACKAGE = Path(midframe.__file__).parent
FORBIDDEN = {
    "errors": {"*"},
    "devices": {"*", "-errors"},
    "rates": {"*", "-errors"},
    "decoding": {"*", "-errors"},
    "images": {"*", "-decoding", "-errors", "-outputs"},
    "metrics": {"*", "-errors"},
    "ops": {"*", "-errors", "-ops"},
    "models": {"*", "-errors", "-outputs", "-images", "-metrics", "-ops", "-models"},
    "options": {"*", "-errors", "-rates", "-models"},
    "interpolator": {"video", "data", "training", "evaluation", "api", "cli"},
    "video": {"data", "training", "evaluation", "api", "cli"},
    "data": {"ops", "models", "interpolator", "video", "training", "evaluation", "api", "cli", "metrics", "images"},
    "training": {"interpolator", "video", "evaluation", "api", "cli"},
    "evaluation": {"training", "api", "cli"},
    "export": {"*", "-errors", "-outputs", "-models"},
    "outputs": {"*", "-errors"},
    "process": {"*"},
    "api": {"data", "training", "evaluation", "cli"},
    "doctor": {"data", "training", "evaluation", "api", "cli"},
}
"""What the modules of each room may not import; `*` is everything but what follows a minus."""


def imported(path: Path) -> set[str]:
    """The rooms of midframe that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {
            name.split(".")[1] if "." in name else "midframe" for name in names if name.partition(".")[0] == "midframe"
        }
    return found


def rooms() -> dict[str, list[Path]]:
    return {room: [*PACKAGE.glob(f"{room}.py"), *(PACKAGE / room).rglob("*.py")] for room in FORBIDDEN}


def test_imports_point_one_way() -> None:
    for room, paths in rooms().items():
        assert paths, room
        for path in paths:
            found = imported(path)
            allowed = {name[1:] for name in FORBIDDEN[room] if name.startswith("-")}
            wrong = found - allowed if "*" in FORBIDDEN[room] else found & FORBIDDEN[room]
            assert not wrong, f"{path} imports {wrong}"


def test_nothing_but_the_command_line_imports_the_package_itself() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "cli" and path.name != "__init__.py":
            assert "midframe" not in imported(path), path


def test_everything_in_all_is_there() -> None:
    assert all(hasattr(midframe, name) for name in midframe.__all__)
