"""How the field's data sets lie on disk: scenes of two frames and the true one between them, or longer sequences."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from midframe.errors import DatasetError
from midframe.folders import visible

WHOLE, HALF, CENTRE = "whole", "half", "centre"
"""What is looked at of a frame: all of it; all, reduced to half by area; the middle of half its size."""


@dataclass(frozen=True)
class Scene:
    """Two frames and the true one between them."""

    name: str
    first: Path
    middle: Path
    second: Path
    group: str = ""
    """Part of the benchmark whose mean is reported apart, as in "hard"."""
    view: str = WHOLE


def find_scenes(place: Path) -> list[Scene]:
    """List the scenes under a folder in any known layout, by name, or those of one SNU-FILM list.

    Raises:
        DatasetError: there is nothing there, or no scene of a known layout.
    """
    if not place.exists():
        raise DatasetError(f"{place} does not exist: name a folder with scenes, or a list of SNU-FILM")
    if place.is_file():
        scenes = list(_snu_film_list(place))
    else:
        scenes = next((found for reader in LAYOUTS.values() if (found := sorted(reader(place), key=_order))), [])
    complete = [scene for scene in scenes if scene.first.exists() and scene.second.exists() and scene.middle.exists()]
    if not complete:
        raise DatasetError(f"{place} holds no whole scene of a known layout: {', '.join(LAYOUTS)}")
    return complete


def find_sequences(folder: Path) -> dict[str, list[Path]]:
    """List the sequences of a Vimeo-90K set that may be trained on: triplets or septuplets, by name.

    Raises:
        DatasetError: there are none.
    """
    for count in (7, 3):
        names = [f"im{number}.png" for number in range(1, count + 1)]
        found = {
            last.parent.relative_to(folder).as_posix(): [last.with_name(name) for name in names]
            for last in visible(folder, folder.rglob(names[-1]))
            if all(last.with_name(name).exists() for name in names)
        }
        if found:
            return _without(found, listed_tests(folder))
    raise DatasetError(f"{folder} holds no sequences of Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)")


def listed_tests(folder: Path) -> set[str]:
    """The sequences that a Vimeo-90K set keeps for testing, as in `00001/0389`; empty if it does not say."""
    lists = [folder / f"{kind}_testlist.txt" for kind in ("tri", "sep")]
    return {line.strip() for path in lists if path.exists() for line in path.read_text().splitlines() if line.strip()}


def _without(found: dict[str, list[Path]], tests: set[str]) -> dict[str, list[Path]]:
    return {name: paths for name, paths in found.items() if "/".join(name.split("/")[-2:]) not in tests}


def _order(scene: Scene) -> tuple[str, str]:
    return scene.group, scene.name


def _by_names(first: str, middle: str, second: str) -> Callable[[Path], Iterator[Scene]]:
    """A layout with one folder a scene, told by the name of the truth."""

    def find(folder: Path) -> Iterator[Scene]:
        for path in visible(folder, folder.rglob(middle)):
            name = path.parent.relative_to(folder).as_posix()
            yield Scene(name, path.with_name(first), path, path.with_name(second))

    return find


def _vimeo(folder: Path) -> Iterator[Scene]:
    """Triplets; of septuplets the three in the middle. Only tests, where a list names them."""
    tests = listed_tests(folder)
    for path in visible(folder, folder.rglob("im2.png")):
        name = path.parent.relative_to(folder).as_posix()
        if tests and "/".join(name.split("/")[-2:]) not in tests:
            continue
        start = 3 if path.with_name("im7.png").exists() else 1
        first, middle, second = (path.with_name(f"im{start + step}.png") for step in range(3))
        yield Scene(name, first, middle, second)


def _snu_film(folder: Path) -> Iterator[Scene]:
    for path in visible(folder, folder.glob("test-*.txt")):
        yield from _snu_film_list(path)


def _snu_film_list(path: Path) -> Iterator[Scene]:
    """A list with three paths a line, from some folder above `test/`."""
    for line in path.read_text().splitlines():
        if len(names := line.split()) == 3:
            first, middle, second = (path.parent / re.sub(r"^.*?(?=test/)", "", name) for name in names)
            name = "/".join(middle.with_suffix("").parts[-2:])
            yield Scene(name, first, middle, second, path.stem.removeprefix("test-"))


def _xiph(folder: Path) -> Iterator[Scene]:
    """Clips as NAME-001.png and so on: every second frame from 2 to 98, reduced ("2K") and cropped ("4K")."""
    for path in visible(folder, folder.glob("*-*.png")):
        match = re.fullmatch(r"(.+)-(\d{3})", path.stem)
        if match and int(match[2]) % 2 == 0 and 2 <= int(match[2]) <= 98:
            first, second = (path.with_name(f"{match[1]}-{int(match[2]) + step:03}.png") for step in (-1, 1))
            for group, view in (("2K", HALF), ("4K", CENTRE)):
                yield Scene(path.stem, first, path, second, group, view)


LAYOUTS: dict[str, Callable[[Path], Iterator[Scene]]] = {
    "Middlebury (frame10.png frame10i11.png frame11.png)": _by_names("frame10.png", "frame10i11.png", "frame11.png"),
    "UCF101-DVF (frame_00.png frame_01_gt.png frame_02.png)": _by_names(
        "frame_00.png", "frame_01_gt.png", "frame_02.png"
    ),
    "Vimeo-90K (im1.png im2.png im3.png, or up to im7.png)": _vimeo,
    "SNU-FILM (test-easy.txt and so on)": _snu_film,
    "Xiph (NAME-001.png to NAME-100.png)": _xiph,
}
"""Readers of layouts, by name and what tells them."""
