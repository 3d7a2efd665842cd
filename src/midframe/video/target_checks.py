"""Checks of the name of a result before the work."""

from pathlib import Path

from midframe.errors import VideoError
from midframe.media.reading.video_file import ADDRESS
from midframe.media.writing.containers import CONTAINERS
from midframe.media.writing.mark import ANIMATIONS, read_mark
from midframe.outputs import check_output_file, same_place


def check_target(source: Path, target: Path, overwrite: bool, *, own: bool = True) -> None:
    """Check that a result may be written.

    Args:
        source: what must stay as it is.
        target: the result.
        overwrite: whether it may be replaced if it exists.
        own: a video may only be replaced if midframe wrote it.

    Raises:
        VideoError: with the reason why not.
    """
    for path in (source, target):
        if ADDRESS.match(str(path)) and not path.exists():
            address = str(path).replace(":/", "://", 1)
            raise VideoError(
                f"{address} is a URL, but only files can be read and written: download it first"
            )
    if same_place(source, target):
        raise VideoError(f"{target} is the source itself: name another OUT")
    check_output_file(target, overwrite=overwrite)
    if own:
        check_own(target)


def check_own(target: Path) -> None:
    """Check that a video which is to be replaced is one that midframe wrote, so that no source is
    lost by accident.

    Raises:
        VideoError: it is another.
    """
    video = (
        target.suffix.lower() in (*CONTAINERS, *ANIMATIONS)
        and target.is_file()
        and target.stat().st_size
    )
    if video and read_mark(target) is None:
        raise VideoError(
            f"{target} exists and was not written by midframe: delete it yourself, or name "
            "another OUT"
        )
