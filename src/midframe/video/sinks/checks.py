"""Checks of the path of a result before the work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midframe.errors import VideoError
from midframe.media.containers import CONTAINERS
from midframe.media.reading.video_file import ADDRESS
from midframe.media.suffixes import ANIMATIONS
from midframe.media.writing.mark import mark_of, read_mark
from midframe.options import EncodingOptions
from midframe.outputs import check_output_file, same_place
from midframe.video.segments import JOB_FILE, segments_folder


def check_target(source: Path, target: Path, overwrite: bool, *, own: bool = True) -> None:
    """Check that a result may be written.

    Args:
        source: a file or folder that must not be overwritten.
        target: the result.
        overwrite: whether an existing file may be replaced.
        own: an existing video may only be replaced if midframe wrote it.

    Raises:
        VideoError: it may not be written; the text is the reason.
    """
    for path in (source, target):
        if ADDRESS.match(str(path)) and not path.exists():
            address = str(path).replace(":/", "://", 1)
            raise VideoError(
                f"{address} is a URL, but only files can be read and written: download it first"
            )
    if same_place(source, target):
        raise VideoError(f"{target} is the source itself: name another output")
    check_output_file(target, overwrite=overwrite)
    if own:
        check_written_by_midframe(target)


def check_written_by_midframe(target: Path) -> None:
    """Check that an existing video was written by midframe, so that no source is lost by accident.

    Raises:
        VideoError: it was not.
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


def result_mark(settings: Mapping[str, Any], options: EncodingOptions) -> str:
    """Return the mark of a file, by which a result is recognised as complete.

    Args:
        settings: the fingerprint of all options that affect its frames.
        options: of the encoding.
    """
    return mark_of({**settings, "mute": options.mute})


def is_complete_result(path: Path, mark: str, *, overwrite: bool) -> bool:
    """Return whether a file is a complete result with a mark, so that there is nothing to resume.

    Args:
        path: of the result.
        mark: of its options.
        overwrite: whether a result with other options may be replaced.

    Raises:
        VideoError: another file exists under that path and may not be replaced.
    """
    unfinished = overwrite and (segments_folder(path) / JOB_FILE).exists()
    if not path.exists() or unfinished:
        return False
    if read_mark(path) == mark:
        return True
    if not overwrite:
        raise VideoError(
            f"{path} exists and was made with other options or from another source: name another "
            "output, or give --overwrite"
        )
    check_written_by_midframe(path)
    return False
