"""Writing figures to files: the path is checked early, and the file is written atomically."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from midframe.errors import VideoError
from midframe.outputs import atomic_write, check_output_file


@contextmanager
def catch_write_errors(folder: Path) -> Iterator[None]:
    """Raise a `VideoError` that names the folder if writing into it fails."""
    try:
        yield
    except OSError as error:
        raise VideoError(
            f"{folder} cannot be written to ({error.strerror}): name another folder"
        ) from error


def check_figure(path: Path, *, inputs: Iterable[Path], overwrite: bool) -> None:
    """Check that a figure can be written, before it is computed.

    Raises:
        VideoError: see `check_output_file`; or matplotlib does not support the suffix.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    check_output_file(path, inputs=inputs, overwrite=overwrite)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        suffix = path.suffix or "a name without suffix"
        raise VideoError(f"{path}: figures cannot be written as {suffix}: use .png")


def save_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a matplotlib figure in the format of the suffix.

    Raises:
        VideoError: the file cannot be written.
    """
    try:
        with atomic_write(path) as unfinished:
            figure.savefig(unfinished, dpi=dpi, format=path.suffix[1:].lower())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path} cannot be drawn ({reason}): name a .png in a folder that exists"
        ) from error
