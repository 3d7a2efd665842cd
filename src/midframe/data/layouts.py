"""Find scenes and sequences in the folder layouts of public benchmarks."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from midframe.errors import DatasetError
from midframe.folders import visible_files, walk

log = logging.getLogger(__name__)

WHOLE, HALF, CENTRE = "whole", "half", "centre"
"""The region of a frame that is scored: all of it; all, downscaled by 2; the central half of each
axis."""
MAX_SHOWN = 3
"""Names of incomplete scenes in a message."""
X_TEST_LAST, X_TEST_STEP = 32, 4
"""Number of the second frame of X-TEST, and the distance of the frames that are scored."""


@dataclass(frozen=True)
class Scene:
    """Two frames and the ground truth between them."""

    name: str
    first: Path
    middle: Path
    second: Path
    group: str = ""
    """Subset of the benchmark with a separate mean, such as "hard"."""
    view: str = WHOLE
    t: Fraction = Fraction(1, 2)
    """Time of the frame between, from 0 (first) to 1 (second)."""


LayoutReader = Callable[[Path, Iterable[Path]], Iterator[Scene]]
"""Function of a folder and the visible files below it; yields its scenes."""


def find_scenes(place: str | Path) -> list[Scene]:
    """List the scenes under a folder in any known layout, or those of one SNU-FILM list, by name.

    Incomplete scenes, and further layouts in the same folder, are reported.

    Raises:
        DatasetError: the path does not exist, or contains no scene of a known layout.
    """
    place = Path(place)
    if not place.exists():
        raise DatasetError(
            f"{place} does not exist: name a folder with scenes, or an SNU-FILM list"
        )
    if place.is_file():
        scenes = list(_snu_film_list(place))
    else:
        files = visible_files(place, walk(place))
        layouts = {name: list(read(place, files)) for name, read in LAYOUTS.items()}
        found = {name: scenes for name, scenes in layouts.items() if any(map(_is_complete, scenes))}
        scenes = next((sorted(each, key=_sort_key) for each in found.values()), [])
        if len(found) > 1:
            log.warning("%s has scenes of several layouts: only %s is scored", place, *[*found][:1])
    complete = [scene for scene in scenes if _is_complete(scene)]
    if not complete:
        raise DatasetError(
            f"{place} contains no complete scene of a known layout: {', '.join(LAYOUTS)}"
        )
    if len(complete) < len(scenes):
        incomplete = [scene.name for scene in scenes if not _is_complete(scene)]
        text = "%s: %d of %d scenes lack a file and are not scored: %s"
        shown = [*incomplete[:MAX_SHOWN], *(["..."] if len(incomplete) > MAX_SHOWN else [])]
        log.warning(text, place, len(incomplete), len(scenes), ", ".join(shown))
    return complete


def _is_complete(scene: Scene) -> bool:
    return all(path.exists() for path in (scene.first, scene.middle, scene.second))


def find_sequences(folder: Path) -> dict[str, list[Path]]:
    """List the training sequences of Vimeo-90K, triplets or septuplets, by name.

    Raises:
        DatasetError: there are none.
    """
    files = visible_files(folder, walk(folder))
    for count in (7, 3):
        names = [f"im{number}.png" for number in range(1, count + 1)]
        found = {
            last.parent.relative_to(folder).as_posix(): [last.with_name(name) for name in names]
            for last in files
            if last.name == names[-1] and all(last.with_name(name).exists() for name in names)
        }
        if found:
            return _exclude_tests(found, read_test_list(folder))
    raise DatasetError(
        f"{folder} contains no sequences of Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)"
    )


def read_test_list(folder: Path) -> set[str]:
    """Read the test sequences of Vimeo-90K, such as `00001/0389`; empty if there is no list."""
    lists = [folder / f"{kind}_testlist.txt" for kind in ("tri", "sep")]
    lines = [
        line.strip() for path in lists if path.exists() for line in path.read_text().splitlines()
    ]
    return set(filter(None, lines))


def _exclude_tests(found: dict[str, list[Path]], tests: set[str]) -> dict[str, list[Path]]:
    return {
        name: paths for name, paths in found.items() if "/".join(name.split("/")[-2:]) not in tests
    }


def _sort_key(scene: Scene) -> tuple[str, str]:
    return scene.group, scene.name


def _folders_with(files: Iterable[Path], *names: str) -> list[Path]:
    """Return the folders that contain a file of any of some names, sorted."""
    return sorted({path.parent for path in files if path.name in names})


def _match_names(first: str, middle: str, second: str) -> LayoutReader:
    """Return a reader of a layout with one folder per scene and fixed file names."""

    def find(folder: Path, files: Iterable[Path]) -> Iterator[Scene]:
        for scene in _folders_with(files, first, middle, second):
            name = scene.relative_to(folder).as_posix()
            yield Scene(name, scene / first, scene / middle, scene / second)

    return find


def _vimeo(folder: Path, files: Iterable[Path]) -> Iterator[Scene]:
    """Yield triplets, or the middle three of septuplets; only test sequences if they are listed."""
    tests = read_test_list(folder)
    for sequence in _folders_with(files, "im1.png", "im2.png", "im3.png"):
        name = sequence.relative_to(folder).as_posix()
        if tests and "/".join(name.split("/")[-2:]) not in tests:
            continue
        start = 3 if (sequence / "im7.png").exists() else 1
        frames = [sequence / f"im{start + step}.png" for step in range(3)]
        yield Scene(name, frames[0], frames[1], frames[2])


def _snu_film(folder: Path, files: Iterable[Path]) -> Iterator[Scene]:
    for path in files:
        if path.parent == folder and path.match("test-*.txt"):
            yield from _snu_film_list(path)


def _snu_film_list(path: Path) -> Iterator[Scene]:
    """Read a list with three paths per line, relative to some folder above `test/`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        message = f"{path} is no text: name a folder with scenes, or an SNU-FILM list"
        raise DatasetError(message) from error
    for line in lines:
        if len(names := line.split()) == 3:
            frames = [path.parent / re.sub(r"^.*?(?=test/)", "", name) for name in names]
            name = "/".join(frames[1].with_suffix("").parts[-2:])
            group = path.stem.removeprefix("test-")
            yield Scene(name, frames[0], frames[1], frames[2], group)


def _xiph(folder: Path, files: Iterable[Path]) -> Iterator[Scene]:
    """Yield every second frame from 2 to 98 of each clip, downscaled ("2K") and cropped ("4K")."""
    for path in files:
        match = re.fullmatch(r"(.+)-(\d{3})\.png", path.name)
        if match and path.parent == folder and int(match[2]) % 2 == 0 and 2 <= int(match[2]) <= 98:
            number = int(match[2])
            first = path.with_name(f"{match[1]}-{number - 1:03}.png")
            second = path.with_name(f"{match[1]}-{number + 1:03}.png")
            for group, view in (("2K", HALF), ("4K", CENTRE)):
                yield Scene(path.stem, first, path, second, group, view)


def _x_test(folder: Path, files: Iterable[Path]) -> Iterator[Scene]:
    """Yield the seven frames between both ends of each clip, downscaled ("2K") and whole ("4K"),
    as in the test of XVFI (arXiv 2103.16206, section 3)."""
    first, last = "0000.png", f"{X_TEST_LAST:04}.png"
    for clip in _folders_with(files, last):
        for number in range(X_TEST_STEP, X_TEST_LAST, X_TEST_STEP):
            name = f"{clip.relative_to(folder).as_posix()}/{number:04}"
            paths = clip / first, clip / f"{number:04}.png", clip / last
            for group, view in (("2K", HALF), ("4K", WHOLE)):
                yield Scene(name, *paths, group, view, Fraction(number, X_TEST_LAST))


LAYOUTS: dict[str, LayoutReader] = {
    "Middlebury (frame10.png frame10i11.png frame11.png)": _match_names(
        "frame10.png", "frame10i11.png", "frame11.png"
    ),
    "UCF101-DVF (frame_00.png frame_01_gt.png frame_02.png)": _match_names(
        "frame_00.png", "frame_01_gt.png", "frame_02.png"
    ),
    "Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)": _vimeo,
    "SNU-FILM (test-easy.txt and so on)": _snu_film,
    "Xiph (NAME-001.png to NAME-100.png)": _xiph,
    "X-TEST of X4K1000FPS (0000.png to 0032.png)": _x_test,
}
"""Readers of layouts, by name and file names."""
