"""Figures as files: checked before the work, complete when they appear."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from midframe.errors import VideoError
from midframe.outputs import check_output_file, whole_file


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Errors of writing into a folder as errors about it."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"{folder} cannot be written to ({error.strerror}): name another folder") from error


def check_figure(path: Path, *, inputs: Iterable[Path], overwrite: bool) -> None:
    """Check that a figure can be written, before the work on it begins.

    Raises:
        VideoError: see `check_output_file`; or figures cannot be written with that ending.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    check_output_file(path, inputs=inputs, overwrite=overwrite)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise VideoError(f"{path}: figures cannot be written as {path.suffix or 'a name without an ending'}: use .png")


def save_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure of matplotlib in the format of its ending.

    Raises:
        VideoError: it cannot be written.
    """
    try:
        with whole_file(path) as unfinished:
            figure.savefig(unfinished, dpi=dpi, format=path.suffix[1:].lower())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path} cannot be drawn ({reason}): name a .png in a folder that exists") from error
