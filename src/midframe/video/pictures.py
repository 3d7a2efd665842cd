"""Pictures in a row, as renderers write and editors read them: `frames/000001.png`, `frames/000002.png` and so on."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from midframe.errors import SourceError
from midframe.images import Array, write_image
from midframe.video.reader import WHOLE, Part, VideoReader, open_video
from midframe.video.survey import EMPTY, Survey

NUMBER = re.compile(r"%(0?)(\d*)d")
"""The place of the number in a pattern of names, as in C."""
DEFAULT_NAME = "%06d.png"
"""Of pictures in a folder."""
DEFAULT_RATE = Fraction(25)
"""Frames a second of pictures, if nothing else is asked for."""


class PictureReader(VideoReader):
    """Pictures as the frames of a video of constant rate; otherwise like a `VideoReader`.

    Args:
        path: what was asked for, a folder or a pattern.
        files: the pictures in order.
        cut_threshold, part: as in `VideoReader`.
        rate: frames a second; 25 if None.
        options: `holds_matrix` and others, as in `VideoReader`.
    """

    def __init__(
        self,
        path: Path,
        files: list[Path],
        cut_threshold: float | None = None,
        part: Part = WHOLE,
        *,
        rate: Fraction | None = None,
        **options: Any,
    ) -> None:
        if not files:
            raise SourceError(f"{path} holds no pictures: name a folder or a pattern such as frames/%06d.png")
        self.files, self._rate = files, rate or DEFAULT_RATE
        super().__init__(path, cut_threshold, part, **options)

    def _open(self) -> av.container.InputContainer:
        return open_video(self.files[0])

    def _time_base(self) -> Fraction:
        return 1 / self._rate

    def _survey(self) -> Survey:
        count = len(self.files)
        return replace(EMPTY, times=tuple(number / self._rate for number in range(count)), end=count / self._rate)

    def _pictures(self, begin: Fraction) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        form: str | None = None
        for number, file in enumerate(self.files):
            picture = _read(file)
            form = form or picture.format.name
            if picture.format.name != form:
                picture = picture.reformat(format=form)  # some writers choose a palette where that is smaller
            yield picture, number, 1

    def _check_end(self, end: int | Fraction | None) -> None:
        """Nothing: what is there is all there is."""


def picture_files(source: Path) -> list[Path] | None:
    """The pictures of a folder or a pattern, by their numbers; None if it is neither."""
    if source.is_dir():
        known = Image.registered_extensions()
        return sorted((each for each in source.iterdir() if each.suffix.lower() in known), key=_natural)
    if not is_pattern(source):
        return None
    place = NUMBER.search(source.name)
    assert place, "it is a pattern"
    before, after = re.escape(source.name[: place.start()]), re.escape(source.name[place.end() :])
    digits = rf"\d{{{place[2]},}}" if place[1] and place[2] else r"\d+"
    name = re.compile(f"{before}({digits}){after}")
    there = source.parent.iterdir() if source.parent.is_dir() else []
    found = [(int(match[1]), each) for each in there if (match := name.fullmatch(each.name))]
    return [each for _, each in sorted(found)]


def is_pattern(path: Path) -> bool:
    """Whether a name stands for many pictures."""
    return bool(NUMBER.search(path.name))


def write_pictures(folder: Path, pattern: str, images: Iterable[Array]) -> int:
    """Write pictures with names by a pattern, numbered from 1; returns how many.

    Args:
        folder: exists already.
        pattern: of the names, whose ending chooses the format.
        images: (H, W, 3) RGB or (H, W, 4) with alpha, uint8 or uint16.
    """
    number = 0
    for number, image in enumerate(images, start=1):
        write_image(folder / numbered(pattern, number), image)
    return number


def numbered(pattern: str, number: int) -> str:
    """The name of a picture by a pattern."""
    return NUMBER.sub(lambda place: f"{number:{place[1]}{place[2]}d}", pattern, count=1)


def _natural(path: Path) -> list[Any]:
    """Numbers in names count as numbers: 9.png comes before 10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _read(file: Path) -> av.VideoFrame:
    try:
        with open_video(file) as container:
            return next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise SourceError(f"{file} cannot be read as a picture: is it one, and whole?") from error
