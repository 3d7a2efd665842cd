"""Image sequences, as renderers write and editors read them: `frames/000001.png`,
`frames/000002.png` and so on."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from midframe.errors import SourceError
from midframe.folders import visible
from midframe.media.colour.conversion import Colour, colour_of
from midframe.media.pictures.decoding import Form, Picture, read_form, read_picture
from midframe.media.pictures.images import (
    Array,
    eight_bit,
    same_profile,
    to_sixteen_bit,
    with_alpha,
    write_image,
)
from midframe.media.reading.reader import WHOLE, Part, VideoReader
from midframe.media.reading.survey import EMPTY, Survey
from midframe.media.writing.containers import CONTAINERS

NUMBER = re.compile(r"%(0?)(\d*)d")
"""The place of the number in a pattern of names, as in C."""
VIDEO_SUFFIXES = frozenset(
    (*CONTAINERS, ".3gp", ".flv", ".mpeg", ".mpg", ".mxf", ".ogg", ".ogv", ".vob", ".wmv", ".y4m")
)
"""Suffixes of videos, whose names are no patterns."""
DEFAULT_NAME = "%06d.png"
"""Of pictures in a folder."""
DEFAULT_RATE = Fraction(25)
"""Frames a second of an image sequence, if none is given."""
BY_FFMPEG = (".dpx", ".exr", ".hdr", ".pam", ".cin")
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".pbm",
    ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".sgi", ".tga", ".tif",
    ".tiff", ".webp", *BY_FFMPEG,
)  # fmt: skip
"""Suffixes of images in a folder; other files in it are ignored."""
FRAME_FORMATS = {
    (False, False): "rgb24",
    (False, True): "rgba",
    (True, False): "rgb48be",
    (True, True): "rgba64be",
}
"""FFmpeg's names of RGB as PNG has it, by depth and alpha."""
MAX_LISTED = 10
"""Missing numbers are listed up to so many rows of them."""


class ArrayReader(VideoReader):
    """Frames that are decoded as pictures, one after another; otherwise like a `VideoReader`.

    Subclasses set `form` before anything else, and give the pictures.
    """

    form: Form
    """Of all frames."""
    icc_profile: bytes | None = None
    """Of the first picture."""

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        picture = self._first()
        self.icc_profile = picture.icc_profile
        frame = self._frame(picture)
        return self._arranger.arrange(frame), colour_of(frame)

    def decoded(self) -> Iterator[av.VideoFrame]:
        """All frames, whatever has been read before."""
        return (frame for frame, _, _ in self._pictures(Fraction(0)))

    def _first(self) -> Picture:
        raise NotImplementedError

    def _open(self) -> av.container.InputContainer:
        """A PNG of the frames' size and format without their metadata, some of which would stop
        PyAV."""
        context: Any = av.CodecContext.create("png", "w")
        context.width, context.height, context.pix_fmt = (
            self.form.width,
            self.form.height,
            self._format,
        )
        context.time_base = Fraction(1)
        if self.form.density:
            x, y = self.form.density
            context.sample_aspect_ratio = Fraction(x / y).limit_denominator(1000)
        blank: Any = av.VideoFrame(self.form.width, self.form.height, self._format)
        blank.planes[0].update(bytes(blank.planes[0].buffer_size))
        return av.open(
            BytesIO(
                b"".join(bytes(packet) for each in (blank, None) for packet in context.encode(each))
            )
        )

    @property
    def _format(self) -> str:
        return FRAME_FORMATS[self.form.high_bit_depth, self.form.alpha]

    def _check_end(self, end: int | Fraction | None) -> None:
        """Nothing: what is there is all there is."""

    def _frame(self, picture: Picture) -> av.VideoFrame:
        """A picture in the form of all frames."""
        image = picture.image if self.form.alpha else np.ascontiguousarray(picture.image[..., :3])
        image = with_alpha(image) if self.form.alpha else image
        image = to_sixteen_bit(image) if self.form.high_bit_depth else eight_bit(image)
        frame: Any = av.VideoFrame.from_ndarray(image, format=self._format)
        frame.color_primaries, frame.color_trc = picture.primaries, picture.transfer
        for lost in picture.left_out:
            self._warn(f"dropped from the images: {lost}")
        return frame

    def _warn(self, text: str) -> None:
        """Report something once."""
        if text not in self.warnings:
            self.warnings.append(text)


class PictureReader(ArrayReader):
    """Pictures as the frames of a video of constant rate.

    All frames have the bits of the deepest picture, and alpha if any has it.

    Args:
        path: the folder or the pattern.
        files: the pictures in order.
        cut_threshold, part: as in `VideoReader`.
        rate: frames a second; 25 if None.
        options: `holds_matrix` and others, as in `VideoReader`.

    Raises:
        SourceError: there are none, one cannot be read, or they differ in size.
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
            raise SourceError(
                f"{path} holds no images: name a folder of images or a pattern such as "
                "frames/%06d.png"
            )
        self.files, self._rate = files, rate or DEFAULT_RATE
        self.form = _common_form(files)
        self.missing_numbers = missing_numbers(files)
        """Numbers between those of the pictures that no picture has."""
        super().__init__(path, cut_threshold, part, **options)
        self.frame_duration = 1
        if self.missing_numbers:
            self._warn(f"images are missing: number {_rows_of(self.missing_numbers)}")
        if twice := [number for number, count in Counter(_numbers(files)).items() if count > 1]:
            self._warn(f"several images have the same number: {_rows_of(sorted(twice))}")

    def _time_base(self) -> Fraction:
        return 1 / self._rate

    def _survey(self) -> Survey:
        count = len(self.files)
        return replace(
            EMPTY,
            times=tuple(number / self._rate for number in range(count)),
            end=count / self._rate,
        )

    def _first(self) -> Picture:
        return read_picture(self.files[0])

    def _pictures(
        self, begin: Fraction
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        for number, file in enumerate(self.files):
            picture = read_picture(file)
            if picture.image.shape[:2] != (self.form.height, self.form.width):
                height, width = picture.image.shape[:2]
                raise _another_size(file, height, width, self.files[0], self.form)
            if not same_profile(picture.icc_profile, self.icc_profile):
                self._warn("the images have different ICC profiles; that of the first is used")
            yield self._frame(picture), number, 1


def picture_files(source: Path) -> list[Path] | None:
    """The pictures of a folder or a pattern, by their numbers; None if it is neither."""
    if source.is_dir():
        pictures = (
            each for each in source.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()
        )
        return sorted(visible(source, pictures), key=_natural)
    if source.exists() or not is_pattern(source):
        return None
    numbered_ones = [
        (number_of(source.name, path.name, exact=False), path) for path in _entries(source.parent)
    ]
    return [
        path
        for _, path in sorted(
            (number, path) for number, path in numbered_ones if number is not None
        )
    ]


def number_of(pattern: str, name: str, *, exact: bool = True) -> int | None:
    """The number of a picture by its name; None if the pattern does not match.

    Args:
        pattern: of the names.
        name: of the picture.
        exact: only names that are written by the pattern; otherwise %d matches 007 too.
    """
    place = NUMBER.search(pattern)
    assert place, "it is a pattern"
    digits = rf"\d{{{place[2]},}}" if place[1] and place[2] else r"\d+"
    match = re.fullmatch(
        f"{re.escape(pattern[: place.start()])}({digits}){re.escape(pattern[place.end() :])}", name
    )
    if not match or (exact and numbered(pattern, int(match[1])) != name):
        return None
    return int(match[1])


def numbered_files(folder: Path, pattern: str) -> dict[int, Path]:
    """The pictures in a folder that a pattern would write, by their numbers."""
    found = {number_of(pattern, path.name): path for path in _entries(folder)}
    return {number: path for number, path in found.items() if number is not None}


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def missing_numbers(files: list[Path]) -> list[int]:
    """The numbers that are missing between those at the end of the names, which may have any equal
    distance."""
    numbers = sorted(set(_numbers(files)))
    steps = Counter(after - before for before, after in pairwise(numbers))
    if not steps:
        return []
    step = steps.most_common(1)[0][0]
    if any(each % step for each in steps):
        step = 1
    there = set(numbers)
    return [number for number in range(numbers[0], numbers[-1], step) if number not in there]


def _numbers(files: list[Path]) -> list[int]:
    """The numbers at the end of the names; none if the names differ in more than them."""
    matches = [re.fullmatch(r"(.*?)(\d+)", each.stem) for each in files]
    if not all(matches) or len({match[1] for match in matches if match}) > 1:
        return []
    return [int(match[2]) for match in matches if match]


def _rows_of(numbers: list[int]) -> str:
    """Numbers as a text: 3, 7-9."""
    rows: list[list[int]] = []
    for number in numbers:
        if rows and number == rows[-1][-1] + 1:
            rows[-1][1:] = [number]
        else:
            rows.append([number])
    texts = ["-".join(map(str, row)) for row in rows[:MAX_LISTED]]
    return ", ".join(texts) + (
        f" and {len(rows) - MAX_LISTED} more" if len(rows) > MAX_LISTED else ""
    )


def _common_form(files: list[Path]) -> Form:
    """The form of all frames."""
    first = read_form(files[0])
    others = (
        [] if files[0].suffix.lower() in BY_FFMPEG else files[1:]
    )  # whose form needs all of the pixels
    high_bit_depth, alpha = first.high_bit_depth, first.alpha
    for file in others:
        form = read_form(file)
        if (form.height, form.width) != (first.height, first.width):
            raise _another_size(file, form.height, form.width, files[0], first)
        high_bit_depth, alpha = high_bit_depth or form.high_bit_depth, alpha or form.alpha
    return Form(first.height, first.width, high_bit_depth, alpha, first.density)


def _another_size(file: Path, height: int, width: int, first: Path, form: Form) -> SourceError:
    return SourceError(
        f"{file} is {width}x{height}, and {first.name} is {form.width}x{form.height}: one size is "
        "needed"
    )


def is_pattern(path: Path) -> bool:
    """Whether a name is a pattern for many images: not the name of an existing file, nor that of a
    video."""
    return (
        bool(NUMBER.search(path.name))
        and path.suffix.lower() not in VIDEO_SUFFIXES
        and not path.is_file()
    )


def write_pictures(
    folder: Path, pattern: str, images: Iterable[Array], icc_profile: bytes | None = None
) -> int:
    """Write pictures with names by a pattern, numbered from 1; returns how many.

    Args:
        folder: exists already.
        pattern: of the names, whose ending chooses the format.
        images: (H, W, 3) RGB or (H, W, 4) with alpha, uint8 or uint16.
        icc_profile: of the pictures.
    """
    number = 0
    for number, image in enumerate(images, start=1):
        write_image(folder / numbered(pattern, number), image, icc_profile)
    return number


def numbered(pattern: str, number: int) -> str:
    """The name of a picture by a pattern."""
    return NUMBER.sub(lambda place: f"{number:{place[1]}{place[2]}d}", pattern, count=1)


def _natural(path: Path) -> list[Any]:
    """Numbers in names count as numbers: 9.png comes before 10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
