"""Files with several images that Pillow reads and FFmpeg does not: animated WebP and AVIF, and TIFF
with several pages."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

from PIL import Image
from PIL.ImageFile import ImageFile

from midframe.errors import OptionError, SourceError
from midframe.media.gif_blocks import MAX_REPLACED_DELAY, SIGNATURE, is_misread_by_ffmpeg
from midframe.media.pictures.decoding import convert_errors, decode, image_format_of
from midframe.media.pictures.picture import ImageFormat, Picture
from midframe.media.reading.image_reader import TimedPicture
from midframe.media.reading.image_sequence import DEFAULT_RATE

GIF = ".gif"
SUFFIXES = (".webp", ".avif", ".avifs", ".tif", ".tiff")
MILLISECOND = Fraction(1, 1000)
USUAL_DURATION = 100
"""Milliseconds for which browsers show a frame without a duration, or of at most
`MAX_REPLACED_DURATION`."""
MAX_REPLACED_DURATION = 10 * MAX_REPLACED_DELAY  # 10 ms


class ImageStack:
    """The images of one file, at their own times, or at a constant rate if they have none: an
    `Images`.

    Args:
        path: of the file.
        rate: frames per second of images without times; 25 if None.

    Raises:
        OptionError: a rate is given for images that have times.
        SourceError: the file cannot be read, or its images differ in size.
    """

    def __init__(self, path: Path, rate: Fraction | None = None) -> None:
        self.path = path
        self.image_format, durations, count = _read_format_and_durations(path)
        if durations and rate is not None:
            raise OptionError(
                f"`source_fps` is {rate}, but {path} has its own frame times: drop `source_fps`"
            )
        self.rate = None if durations else rate or DEFAULT_RATE
        self.time_base = 1 / self.rate if self.rate else MILLISECOND
        self._durations = durations or [1] * count
        """Duration of each image, in the time base."""
        begins = [begin * self.time_base for begin in accumulate(self._durations, initial=0)]
        self.times = begins[:-1]
        self.end = begins[-1]
        self.warnings: list[str] = []

    @cached_property
    def first(self) -> Picture:
        return next(self.decode_all())[0]

    def decode_all(self) -> Iterator[TimedPicture]:
        """See `Images`."""
        begins = accumulate(self._durations, initial=0)
        with convert_errors(self.path), Image.open(self.path) as image:
            for _, pts, duration in zip(_pages(image), begins, self._durations, strict=False):
                yield decode(image, self.path, page=True), pts, duration


def is_stack(path: Path) -> bool:
    """Return whether a path is a file with several images that FFmpeg does not read."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    if suffix != GIF:
        return suffix in SUFFIXES
    found = path.stat()
    return _is_gif_for_pillow(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _is_gif_for_pillow(path: Path, size: int, modified: int) -> bool:
    """Return whether FFmpeg would drop images of a GIF; not of one that cannot be read, which is
    reported where it is opened.

    Args:
        path: of the file, which is read as a whole.
        size, modified: its size and modification time: a file that has not changed is read once.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return data.startswith(SIGNATURE) and is_misread_by_ffmpeg(data)


def _pages(image: ImageFile) -> Iterator[int]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        yield number


def _read_format_and_durations(path: Path) -> tuple[ImageFormat, list[int], int]:
    """Return the common format of all images, their durations in milliseconds (empty for TIFF,
    which has none) and their number."""
    formats = []
    durations = []
    with convert_errors(path), Image.open(path) as image:
        for _ in _pages(image):
            image_format = image_format_of(image, path, page=True)
            image.load()  # reads the duration
            formats.append(image_format)
            duration = round(image.info.get("duration", 0))
            durations.append(duration if duration > MAX_REPLACED_DURATION else USUAL_DURATION)
        timed = image.format != "TIFF"
    if len({(image_format.height, image_format.width) for image_format in formats}) > 1:
        raise SourceError(f"{path} holds images of different sizes: all must have the same size")
    first = formats[0]
    high_bit_depth = any(image_format.high_bit_depth for image_format in formats)
    alpha = any(image_format.alpha for image_format in formats)
    common = ImageFormat(first.height, first.width, high_bit_depth, alpha, first.density)
    return common, durations if timed else [], len(formats)
