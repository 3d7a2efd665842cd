"""Image sequences, as renderers and editors use them: `frames/000001.png`, `frames/000002.png` and
so on."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from midframe.errors import SourceError
from midframe.folders import visible_files
from midframe.media.pictures.decoding import read_image_format, read_picture
from midframe.media.pictures.images import Array, same_profile, write_image
from midframe.media.pictures.picture import ImageFormat, Picture
from midframe.media.reading.image_reader import TimedPicture, add_once
from midframe.media.suffixes import VIDEOS

NUMBER = re.compile(r"%(0?)(\d*)d")
"""The number in a file name pattern, as in printf."""
DEFAULT_NAME = "%06d.png"
"""Default pattern of the images in a folder."""
DEFAULT_RATE = Fraction(25)
"""Default frames per second of an image sequence."""
FFMPEG_SUFFIXES = (".dpx", ".exr", ".hdr", ".pam", ".cin")
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd",
    ".qoi", ".ras", ".sgi", ".tga", ".tif", ".tiff", ".webp", *FFMPEG_SUFFIXES,
)  # fmt: skip
"""Suffixes of images in a folder; other files in it are ignored."""
MAX_NAMES = 3
"""Number of names that are listed."""
MAX_LISTED = 10
"""Number of ranges of missing numbers that are listed."""
MAX_SPACING, MAX_NUMBERS = 10, 100_000
"""Names with more numbers between the first and the last one than both, per image and in total, are
times, in milliseconds for example: none is missing."""


class ImageSequence:
    """The images of a folder or a pattern at a constant rate: an `Images`.

    The common format has the highest bit depth of all images, and alpha if any image has it.

    Args:
        path: the folder or the pattern.
        files: the images, in order.
        rate: frames per second; 25 if None.

    Raises:
        SourceError: there are none, one cannot be read, or they differ in size.
    """

    def __init__(self, path: Path, files: list[Path], rate: Fraction | None = None) -> None:
        if not files:
            raise SourceError(
                f"{path} holds no images: name a folder of images or a pattern such as "
                "frames/%06d.png; for a folder of videos, use `midframe batch`"
            )
        self.files = files
        self.rate: Fraction | None = rate or DEFAULT_RATE
        self.image_format = _common_format(files)
        self.time_base = 1 / (rate or DEFAULT_RATE)
        self.times = tuple(number * self.time_base for number in range(len(files)))
        self.end = len(files) * self.time_base
        self.missing_numbers = missing_numbers(files)
        """Numbers between those of the images that no image has."""
        self.warnings: list[str] = []
        if self.missing_numbers:
            self.warnings.append(
                f"images are missing: number {_format_ranges(self.missing_numbers)}"
            )
        self.warnings += _odd_names(files)
        repeated = [number for number, count in Counter(_numbers(files)).items() if count > 1]
        if repeated:
            numbers = _format_ranges(sorted(repeated))
            self.warnings.append(f"several images have the same number: {numbers}")

    @cached_property
    def first(self) -> Picture:
        return read_picture(self.files[0])

    def decode_all(self) -> Iterator[TimedPicture]:
        """See `Images`."""
        for number, file in enumerate(self.files):
            picture = read_picture(file)
            if picture.image.shape[:2] != (self.image_format.height, self.image_format.width):
                height, width = picture.image.shape[:2]
                raise _size_error(file, height, width, self.files[0], self.image_format)
            if not same_profile(picture.icc_profile, self.first.icc_profile):
                add_once(
                    self.warnings,
                    "the images have different ICC profiles; that of the first is used",
                )
            yield picture, number, 1


def image_files(source: Path) -> list[Path] | None:
    """Return the images of a folder or a pattern, sorted by number; None if it is neither."""
    if source.is_dir():
        pictures = (
            each for each in source.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()
        )
        return sorted(visible_files(source, pictures), key=_natural_key)
    if source.exists() or not is_pattern(source):
        return None
    found = []
    for path in _entries(source.parent):
        number = number_of(source.name, path.name, exact=False)
        if number is not None:
            found.append((number, path))
    return [path for _, path in sorted(found)]


def number_of(pattern: str, name: str, *, exact: bool = True) -> int | None:
    """Return the number in a file name; None if the pattern does not match.

    Args:
        pattern: of the names.
        name: of the image.
        exact: match only names that the pattern produces; otherwise %d matches 007 too.
    """
    place = NUMBER.search(pattern)
    assert place, "it is a pattern"
    digits = rf"\d{{{place[2]},}}" if place[1] and place[2] else r"\d+"
    match = re.fullmatch(
        f"{re.escape(pattern[: place.start()])}({digits}){re.escape(pattern[place.end() :])}", name
    )
    if not match or (exact and numbered_name(pattern, int(match[1])) != name):
        return None
    return int(match[1])


def numbered_files(folder: Path, pattern: str) -> dict[int, Path]:
    """Return the files in a folder whose names the pattern produces, by number."""
    found = {number_of(pattern, path.name): path for path in _entries(folder)}
    return {number: path for number, path in found.items() if number is not None}


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def missing_numbers(files: list[Path]) -> list[int]:
    """Return the missing numbers of a sequence, whose numbers may increase by any constant step;
    none if the numbers are times."""
    numbers = sorted(set(_numbers(files)))
    steps = Counter(after - before for before, after in pairwise(numbers))
    if not steps:
        return []
    step = steps.most_common(1)[0][0]
    if any(each % step for each in steps):
        step = 1
    if (numbers[-1] - numbers[0]) // step > max(MAX_NUMBERS, MAX_SPACING * len(numbers)):
        return []
    present = set(numbers)
    return [number for number in range(numbers[0], numbers[-1], step) if number not in present]


def _numbers(files: list[Path]) -> list[int]:
    """Return the numbers in the names of most images; none if several numbers in them differ."""
    names, _ = _by_name(files)
    places = list(zip(*(_split(each.stem)[1::2] for each in names), strict=True))
    differing = [place for place in places if len(set(place)) > 1] or places[-1:]
    return [int(number) for number in differing[0]] if len(differing) == 1 else []


def _odd_names(files: list[Path]) -> list[str]:
    """Return a warning about the images whose names differ from those of most others in more than
    numbers: previews and other sequences in the same folder."""
    usual, odd = _by_name(files)
    if len(usual) == 1 or not odd:
        return []
    names = ", ".join(each.name for each in odd[:MAX_NAMES])
    names += " and more" if len(odd) > MAX_NAMES else ""
    return [
        f"{len(odd)} of {len(files)} images are named unlike the others, and are frames too: "
        f"{names}; a pattern such as frames/%06d.png selects one sequence"
    ]


def _by_name(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Divide images into those whose names equal those of most others but for numbers, and the
    rest."""
    forms = {each: tuple(_split(each.stem)[::2]) for each in files}
    ((usual, _),) = Counter(forms.values()).most_common(1)
    return (
        [each for each in files if forms[each] == usual],
        [each for each in files if forms[each] != usual],
    )


def _format_ranges(numbers: list[int]) -> str:
    """Format numbers as ranges: 3, 7-9."""
    ranges: list[list[int]] = []
    """[number] or [first, last]."""
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    text = ", ".join("-".join(map(str, each)) for each in ranges[:MAX_LISTED])
    if len(ranges) > MAX_LISTED:
        text += f" and {len(ranges) - MAX_LISTED} more"
    return text


def _common_format(files: list[Path]) -> ImageFormat:
    """Return the common format of images; the highest bit depth, and alpha if any has it."""
    first = read_image_format(files[0])
    # FFmpeg must decode an image to find its format, so of such images only the first is read
    others = [] if files[0].suffix.lower() in FFMPEG_SUFFIXES else files[1:]
    high_bit_depth, alpha = first.high_bit_depth, first.alpha
    for file in others:
        image_format = read_image_format(file)
        if (image_format.height, image_format.width) != (first.height, first.width):
            raise _size_error(file, image_format.height, image_format.width, files[0], first)
        high_bit_depth = high_bit_depth or image_format.high_bit_depth
        alpha = alpha or image_format.alpha
    return ImageFormat(first.height, first.width, high_bit_depth, alpha, first.density)


def _size_error(
    file: Path, height: int, width: int, first: Path, first_format: ImageFormat
) -> SourceError:
    first_size = f"{first_format.width}x{first_format.height}"
    return SourceError(
        f"{file} is {width}x{height}, and {first.name} is {first_size}: one size is needed"
    )


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern for images: not an existing file, nor the name of a
    video."""
    return (
        bool(NUMBER.search(path.name)) and path.suffix.lower() not in VIDEOS and not path.is_file()
    )


def write_images(
    folder: Path, pattern: str, images: Iterable[Array], icc_profile: bytes | None = None
) -> int:
    """Write images with names from a pattern, numbered from 1; return their number.

    Args:
        folder: an existing folder.
        pattern: of the names; its suffix determines the format.
        images: (H, W, 3) RGB or (H, W, 4) with alpha, uint8 or uint16.
        icc_profile: of the images.
    """
    number = 0
    for number, image in enumerate(images, start=1):
        write_image(folder / numbered_name(pattern, number), image, icc_profile)
    return number


def numbered_name(pattern: str, number: int) -> str:
    """Return the file name of a number by a pattern."""
    return NUMBER.sub(lambda place: f"{number:{place[1]}{place[2]}d}", pattern, count=1)


def _natural_key(path: Path) -> list[Any]:
    """Return a key for sorting by the numbers in names: 9.png before 10.png."""
    return [int(part) if index % 2 else part for index, part in enumerate(_split(path.name))]


def _split(name: str) -> list[str]:
    """Split a name into texts (at even indices) and the numbers between them."""
    return re.split(r"(\d+)", name)
