"""Find scenes and sequences in the folder layouts of public benchmarks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from midframe.errors import DatasetError
from midframe.folders import visible_files, walk_files

WHOLE, HALF, CENTRE = "whole", "half", "centre"
"""The region of a frame that is scored: all of it; all, downscaled by 2; the central half of each
axis."""


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


def find_scenes(place: Path) -> list[Scene]:
    """List the scenes under a folder in any known layout, or those of one SNU-FILM list, by name.

    Raises:
        DatasetError: the path does not exist, or contains no scene of a known layout.
    """
    if not place.exists():
        raise DatasetError(
            f"{place} does not exist: name a folder with scenes, or an SNU-FILM list"
        )
    if place.is_file():
        scenes = list(_snu_film_list(place))
    else:
        readers = (sorted(reader(place), key=_sort_key) for reader in LAYOUTS.values())
        scenes = next((found for found in readers if found), [])
    complete = [
        scene
        for scene in scenes
        if all(path.exists() for path in (scene.first, scene.middle, scene.second))
    ]
    if not complete:
        raise DatasetError(
            f"{place} contains no complete scene of a known layout: {', '.join(LAYOUTS)}"
        )
    return complete


def find_sequences(folder: Path) -> dict[str, list[Path]]:
    """List the training sequences of Vimeo-90K, triplets or septuplets, by name.

    Raises:
        DatasetError: there are none.
    """
    for count in (7, 3):
        names = [f"im{number}.png" for number in range(1, count + 1)]
        found = {
            last.parent.relative_to(folder).as_posix(): [last.with_name(name) for name in names]
            for last in _find_files(folder, names[-1])
            if all(last.with_name(name).exists() for name in names)
        }
        if found:
            return _exclude_tests(found, read_test_list(folder))
    raise DatasetError(
        f"{folder} contains no sequences of Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)"
    )


def _find_files(folder: Path, name: str) -> list[Path]:
    """List the files of this name below a folder, sorted."""
    return visible_files(folder, (path for path in walk_files(folder) if path.name == name))


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


def _match_names(first: str, middle: str, second: str) -> Callable[[Path], Iterator[Scene]]:
    """Return a reader of a layout with one folder per scene and fixed file names."""

    def find(folder: Path) -> Iterator[Scene]:
        for path in _find_files(folder, middle):
            name = path.parent.relative_to(folder).as_posix()
            yield Scene(name, path.with_name(first), path, path.with_name(second))

    return find


def _vimeo(folder: Path) -> Iterator[Scene]:
    """Yield triplets, or the middle three of septuplets; only test sequences if they are listed."""
    tests = read_test_list(folder)
    for path in _find_files(folder, "im2.png"):
        name = path.parent.relative_to(folder).as_posix()
        if tests and "/".join(name.split("/")[-2:]) not in tests:
            continue
        start = 3 if path.with_name("im7.png").exists() else 1
        frames = [path.with_name(f"im{start + step}.png") for step in range(3)]
        yield Scene(name, frames[0], frames[1], frames[2])


def _snu_film(folder: Path) -> Iterator[Scene]:
    for path in visible_files(folder, folder.glob("test-*.txt")):
        yield from _snu_film_list(path)


def _snu_film_list(path: Path) -> Iterator[Scene]:
    """Read a list with three paths per line, relative to some folder above `test/`."""
    for line in path.read_text().splitlines():
        if len(names := line.split()) == 3:
            frames = [path.parent / re.sub(r"^.*?(?=test/)", "", name) for name in names]
            name = "/".join(frames[1].with_suffix("").parts[-2:])
            group = path.stem.removeprefix("test-")
            yield Scene(name, frames[0], frames[1], frames[2], group)


def _xiph(folder: Path) -> Iterator[Scene]:
    """Yield every second frame from 2 to 98 of each clip, downscaled ("2K") and cropped ("4K")."""
    for path in visible_files(folder, folder.glob("*-*.png")):
        match = re.fullmatch(r"(.+)-(\d{3})", path.stem)
        if match and int(match[2]) % 2 == 0 and 2 <= int(match[2]) <= 98:
            number = int(match[2])
            first = path.with_name(f"{match[1]}-{number - 1:03}.png")
            second = path.with_name(f"{match[1]}-{number + 1:03}.png")
            for group, view in (("2K", HALF), ("4K", CENTRE)):
                yield Scene(path.stem, first, path, second, group, view)


LAYOUTS: dict[str, Callable[[Path], Iterator[Scene]]] = {
    "Middlebury (frame10.png frame10i11.png frame11.png)": _match_names(
        "frame10.png", "frame10i11.png", "frame11.png"
    ),
    "UCF101-DVF (frame_00.png frame_01_gt.png frame_02.png)": _match_names(
        "frame_00.png", "frame_01_gt.png", "frame_02.png"
    ),
    "Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)": _vimeo,
    "SNU-FILM (test-easy.txt and so on)": _snu_film,
    "Xiph (NAME-001.png to NAME-100.png)": _xiph,
}
"""Readers of layouts, by name and file names."""
