"""Messages of the library, as the page shows them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.sample_videos import VideoSpec, render
from helpers.video import Averager

import midframe
from midframe.errors import VideoError
from midframe.video.pipeline import interpolate_video
from midframe.video.sinks.protocol import abort_on_error
from midframe.web.storage import Storage
from midframe.web.texts import NEEDS_COMMAND, for_visitors

PACKAGE = Path(midframe.__file__).parent
COMPONENTS = ("media", "models", "video", "*interpolator.py", "folders.py", "options.py",
              "outputs.py", "rates.py", "times.py")  # fmt: skip
"""The components whose messages the page may show."""


def texts_of(path: Path) -> Iterator[str]:
    """Yield the strings of a module except docstrings, with "x" for each formatted value."""
    tree = ast.parse(path.read_text())
    skipped: set[Any] = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    skipped |= {each for node in joined for each in ast.walk(node) if each is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in skipped:
            values = [each.value if isinstance(each, ast.Constant) else "x" for each in node.values]
            yield "".join(map(str, values))
        elif isinstance(node, ast.Constant) and node not in skipped:
            yield str(node.value)


def test_no_message_on_the_page_refers_to_the_command_line() -> None:
    paths = [path for component in COMPONENTS for each in PACKAGE.glob(component)
             for path in ([each] if each.is_file() else each.rglob("*.py"))]  # fmt: skip
    texts = {text if ": " in text else f"problem: {text}"
             for path in paths for text in texts_of(path)}  # fmt: skip
    advice = [text for text in texts if NEEDS_COMMAND.search(text) or "--" in text]
    assert len(advice) > 40
    for text in advice:
        message = for_visitors(text)
        assert message
        assert not re.search(r"--[a-z]|\bOUT\b|`?midframe [a-z]+`|\bname an?\b", message), text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: choose another --codec or --preset", "a: choose another Codec"),
        ("a: b: drop --vfr, or use .mkv", "a: b"),
        ("a: choose a lower --factor or --fps, or name an .mp4 file",
         "a: choose a lower Factor or Frames per second"),
        ("a: a whole --factor, or --vfr, keeps all", "a: a whole Factor keeps all"),
        ("--crf is 99: 0 to 63 is needed", "crf is 99: 0 to 63 is needed"),
        ("a; without --strict b; c", "a; c"),
    ],
)  # fmt: skip
def test_advice_refers_to_fields_of_the_page(text: str, message: str) -> None:
    assert for_visitors(text) == message
    assert for_visitors(message) == message


def test_paths_of_private_files_are_replaced_by_descriptions() -> None:
    storage = Storage(1, lambda _: None)
    session = storage.open_session()
    first, folder = session.new_path(word="first"), session.new_path()
    text = f"{first} is cut off, {folder / 'video'}: file:{folder / '.result.mp4.midframe' / 'a'}"
    assert for_visitors(text) == "the first picture is cut off, the file: file:the result"
    assert for_visitors(f"'{folder}' ({storage.root})") == "'the file' (the file)"
    storage.close()


def test_warnings_and_errors_on_the_page_refer_to_its_fields(tmp_path: Path) -> None:
    for source, options in (
        (VideoSpec(frames=1, sound=()), {}),
        (VideoSpec(sound=()), {"factor": 1.5}),
    ):
        path = render(source, tmp_path)
        report = interpolate_video(path, tmp_path / "out.mp4", model=Averager(), **options)
        for text in report.warnings:
            message = for_visitors(text)
            assert "--" not in message
            assert "midframe image" not in message
        (tmp_path / "out.mp4").unlink()
    assert "a whole Factor keeps all" in message
    with pytest.raises(VideoError) as caught:
        interpolate_video(path, tmp_path / "out.mp4", model=Averager(), start=9)
    assert "choose an earlier From" in for_visitors(str(caught.value))
    with pytest.raises(VideoError) as caught, abort_on_error(lambda: tmp_path):
        raise VideoError("the disk is full")
    assert for_visitors(str(caught.value)) == "the disk is full"
