"""Files of several pictures that Pillow reads and FFmpeg does not: animated WebP and AVIF, and TIFF
with many pages."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
from PIL import Image
from PIL.ImageFile import ImageFile

from midframe.errors import OptionError, SourceError
from midframe.media.pictures.decoding import Form, Picture, decode, form_of, reported
from midframe.media.reading.image_sequence import DEFAULT_RATE, ArrayReader
from midframe.media.reading.reader import WHOLE, Part
from midframe.media.reading.survey import EMPTY, Survey

SUFFIXES = (".webp", ".avif", ".avifs", ".tif", ".tiff")
MILLISECOND = Fraction(1, 1000)
NO_DURATION = 100
"""Milliseconds for which browsers show a frame that states none."""


class StackReader(ArrayReader):
    """The pictures of one file as frames: at their own times, or at a constant rate where they
    state none.

    Args:
        path: of the file.
        cut_threshold, part: as in `VideoReader`.
        rate: frames a second of pictures without times, 25 if None.

    Raises:
        OptionError: a rate for pictures that have times.
        SourceError: the file cannot be read, or its pictures differ in size.
    """

    def __init__(
        self,
        path: Path,
        cut_threshold: float | None = None,
        part: Part = WHOLE,
        *,
        rate: Fraction | None = None,
        **options: Any,
    ) -> None:
        self.path = path
        self.form, self._durations, self._count = _form_and_durations(path)
        if self._durations and rate is not None:
            raise OptionError(
                f"`source_fps` is {rate}, but {path} has its own frame times: drop `source_fps`"
            )
        self._rate = rate or DEFAULT_RATE
        super().__init__(path, cut_threshold, part, **options)
        if not self._durations:
            self.frame_duration = 1

    def _time_base(self) -> Fraction:
        return MILLISECOND if self._durations else 1 / self._rate

    def _survey(self) -> Survey:
        if self._durations:
            times = [begin * MILLISECOND for begin in accumulate(self._durations, initial=0)]
        else:
            times = [number / self._rate for number in range(self._count + 1)]
        return replace(EMPTY, times=tuple(times[:-1]), end=times[-1])

    def _first(self) -> Picture:
        return next(self._decoded_pictures())

    def _pictures(
        self, begin: Fraction
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        time = 0
        for number, picture in enumerate(self._decoded_pictures()):
            duration = self._durations[number] if self._durations else 1
            yield self._frame(picture), time, duration
            time += duration

    def _decoded_pictures(self) -> Iterator[Picture]:
        with reported(self.path), Image.open(self.path) as image:
            for _ in _pages(image):
                yield decode(image, self.path, page=True)


def _pages(image: ImageFile) -> Iterator[int]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        yield number


def _form_and_durations(path: Path) -> tuple[Form, list[int], int]:
    """The form of all pictures, for how many milliseconds each is shown (none if that is not
    stated), their number."""
    forms, durations = [], []
    with reported(path), Image.open(path) as image:
        for _ in _pages(image):
            form = form_of(image, path, page=True)
            image.load()  # which reads how long it is shown
            forms.append(form)
            durations.append(round(image.info.get("duration", 0)) or NO_DURATION)
        timed = image.format != "TIFF"
    if len({(form.height, form.width) for form in forms}) > 1:
        raise SourceError(f"{path} holds images of different sizes: all must have the same size")
    first = forms[0]
    high_bit_depth, alpha = (
        any(form.high_bit_depth for form in forms),
        any(form.alpha for form in forms),
    )
    return (
        Form(first.height, first.width, high_bit_depth, alpha, first.density),
        durations if timed else [],
        len(forms),
    )
