"""The videos of a batch, and the paths of their results."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from midframe.batch.records import FOLDER as RECORDS_FOLDER
from midframe.errors import VideoError
from midframe.folders import visible_files, walk
from midframe.media.suffixes import ANIMATIONS, VIDEOS

log = logging.getLogger(__name__)

SUFFIXES = VIDEOS.union(ANIMATIONS)
"""Suffixes of the videos that are searched for."""
ChooseSuffix = Callable[[Path], str]
"""Returns the suffix of the result for the path of a source."""


@dataclass(frozen=True)
class BatchVideo:
    """A source and its result."""

    source: Path
    target: Path
    name: str
    """Path of the result below the output folder, which identifies the video in its batch."""


def find_videos(folder: Path, out: Path, choose_suffix: ChooseSuffix) -> list[BatchVideo]:
    """List the videos under a folder, sorted by path; results keep the subfolders.

    Hidden files are skipped, and output folders of this and of earlier batches that lie within the
    folder. Links to folders are followed (see `walk`).

    Args:
        folder: that is searched for videos and animations, by their suffix.
        out: output folder.
        choose_suffix: see `ChooseSuffix`.

    Raises:
        VideoError: the folder does not exist, or is the output folder.
    """
    return name_results(folder, find_files(folder, out), out, choose_suffix)


def skipped_suffixes(folder: Path, files: Iterable[Path]) -> dict[str, int]:
    """Count the files under a folder that are no videos by their suffix, by this suffix, sorted."""
    others = [path for path in files if path.suffix.lower() not in SUFFIXES]
    counts = Counter(path.suffix.lower() for path in visible_files(folder, others))
    return dict(sorted(counts.items()))


def results_without_source(out: Path, videos: Iterable[BatchVideo]) -> list[str]:
    """List the results of earlier runs in an output folder that none of the videos has, as those of
    sources that were renamed or deleted, or of another folder; by their paths below it, sorted.

    Args:
        out: output folder.
        videos: all videos of the batch.
    """
    records = out / RECORDS_FOLDER
    names = {
        path.relative_to(records).as_posix().removesuffix(".json")
        for path in records.rglob("*.json")
    }
    others = names - {video.name for video in videos}
    return sorted(name for name in others if (out / name).is_file())


def find_files(folder: Path, out: Path) -> list[Path]:
    """List the files under a folder but outside of output folders; also links to files that do
    not exist, so that they are reported. Arguments and errors as of `find_videos`."""
    if not folder.is_dir():
        raise VideoError(f"{folder} is not a folder: name a folder with videos")
    if out.exists() and out.samefile(folder):
        raise VideoError(f"{out} is the folder of the sources: name another OUT_DIR")
    paths = list(walk(folder))
    outputs = set(_earlier_outputs(paths, folder, out))
    if out.resolve() not in folder.resolve().parents:  # where results lie beside their folder
        outputs.add(out.resolve())
    return [
        path
        for path in paths
        if (path.is_file() or (path.is_symlink() and not path.exists()))
        and outputs.isdisjoint(path.resolve().parents)
    ]


def _earlier_outputs(paths: Iterable[Path], folder: Path, out: Path) -> list[Path]:
    """Return the output folders of batches among the paths below a folder, resolved; those of
    earlier batches are reported."""
    records = (path.parent for path in paths if path.name == RECORDS_FOLDER and path.is_dir())
    found = [path.resolve() for path in records if not path.samefile(folder)]
    for path in sorted(found):
        if path != out.resolve():
            _report_earlier_output(path)
    return found


@cache
def _report_earlier_output(path: Path) -> None:
    """Log that a folder is skipped; once, since a batch that watches a folder lists it again and
    again."""
    log.warning(
        "%s has the results of an earlier batch, which are not interpolated again: name that "
        "folder itself to do so",
        path,
    )


def name_results(
    folder: Path, paths: Iterable[Path], out: Path, choose_suffix: ChooseSuffix
) -> list[BatchVideo]:
    """List the videos among the files under a folder; arguments as in `find_videos`."""
    videos = [path for path in paths if path.suffix.lower() in SUFFIXES]
    return _name_results(folder, visible_files(folder, videos), out, choose_suffix)


def name_videos(
    sources: Iterable[Path], out: Path, choose_suffix: ChooseSuffix
) -> list[BatchVideo]:
    """List the given videos; all results are in the output folder itself.

    Args:
        sources: paths of the videos.
        out, choose_suffix: as in `find_videos`.

    Raises:
        VideoError: two sources, and so their results, have the same name.
    """
    paths = list(sources)
    names = Counter(path.name for path in paths)
    if twice := [name for name, count in names.items() if count > 1]:
        raise VideoError(f"two sources are named {twice[0]}: their results need different folders")
    return [
        video for path in paths for video in _name_results(path.parent, [path], out, choose_suffix)
    ]


def _name_results(
    folder: Path, paths: list[Path], out: Path, choose_suffix: ChooseSuffix
) -> list[BatchVideo]:
    """Name the results of videos in a folder. If two results have the same name, as for a.avi and
    a.mp4, both names contain the suffix of the source too: a.avi.mp4, and so does that of a source
    named a.avi.mp4: a.avi.mp4.mp4."""
    names = {path: path.relative_to(folder).with_suffix(choose_suffix(path)) for path in paths}
    for _ in range(2):  # the longer names can be those of other results
        names = _distinguish(names, choose_suffix)
    return [BatchVideo(path, out / name, name.as_posix()) for path, name in names.items()]


def _distinguish(names: dict[Path, Path], choose_suffix: ChooseSuffix) -> dict[Path, Path]:
    """Return the names of results, with the suffix of the source in those that two results have."""
    taken = Counter(names.values())
    return {
        path: name.with_name(path.name + choose_suffix(path)) if taken[name] > 1 else name
        for path, name in names.items()
    }
