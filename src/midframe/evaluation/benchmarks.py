"""How benchmarks lie on disk."""

from dataclasses import dataclass
from pathlib import Path

from midframe.errors import DatasetError


@dataclass(frozen=True)
class Scene:
    """Two frames and the true one between them."""

    name: str
    first: Path
    middle: Path
    second: Path


LAYOUTS = {
    "Middlebury": ("frame10.png", "frame10i11.png", "frame11.png"),
    "Vimeo-90K triplet": ("im1.png", "im2.png", "im3.png"),
}
"""Names of the first frame, the truth and the second frame in the folder of a scene."""


def find_scenes(folder: Path) -> list[Scene]:
    """List the scenes under a folder, in any known layout, by name.

    Raises:
        DatasetError: the folder does not exist or holds no scene.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder: name one with a folder for each scene")
    scenes = [
        Scene(str(middle.parent.relative_to(folder)), middle.with_name(names[0]), middle, middle.with_name(names[2]))
        for names in LAYOUTS.values()
        for middle in sorted(folder.rglob(names[1]))
    ]
    complete = [scene for scene in scenes if scene.first.exists() and scene.second.exists()]
    if not complete:
        known = "; ".join(f"{name}: {' '.join(files)}" for name, files in LAYOUTS.items())
        raise DatasetError(f"{folder} holds no scene of a known layout ({known})")
    return complete
