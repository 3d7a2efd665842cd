"""Images of a file or a folder as the frames of a source."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import av
import numpy as np

from midframe.media.colour.conversion import Colour
from midframe.media.colour.geometry import OutputGeometry
from midframe.media.pictures.images import eight_bit, to_sixteen_bit, with_alpha
from midframe.media.pictures.picture import ImageFormat, Picture
from midframe.media.pixel_formats import PNG_RGB
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_clock import TimedFrame
from midframe.media.reading.frame_converter import FrameConverter
from midframe.media.reading.frame_rate import exact_rate, measure_rate
from midframe.media.reading.source import WHOLE_SOURCE, Contents, Frame, FrameSource, TimeRange
from midframe.media.reading.thumbnails import ThumbnailList
from midframe.media.reading.time_range import TimeRangeSelector

TimedPicture = tuple[Picture, int, int]
"""An image, its pts and its duration."""


class Images(Protocol):
    """A sequence of images of the same size."""

    @property
    def image_format(self) -> ImageFormat:
        """The common format of all images."""

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None if the images have their own times."""

    @property
    def time_base(self) -> Fraction:
        """Of their pts."""

    @property
    def times(self) -> Sequence[Fraction]:
        """Start times of the images, in seconds."""

    @property
    def end(self) -> Fraction:
        """End of the last image, in seconds."""

    @property
    def first(self) -> Picture:
        """The first image."""

    @property
    def warnings(self) -> list[str]:
        """Warnings so far."""

    def decode_all(self) -> Iterator[TimedPicture]:
        """Decode all images, with pts and duration in the time base."""


class ImageReader:
    """A `FrameSource` of images, without other streams.

    Args:
        path: of the images.
        images: the images themselves.
        cut_threshold, time_range, strict, stores_display_matrix, stores_aspect_ratio: as in
            `VideoReader`.
    """

    def __init__(
        self,
        path: Path,
        images: Images,
        cut_threshold: float | None = None,
        time_range: TimeRange = WHOLE_SOURCE,
        *,
        strict: bool = False,
        stores_display_matrix: bool = True,
        stores_aspect_ratio: bool = True,
    ) -> None:
        self.path = path
        self.images = images
        self.time_range = time_range
        self.damage = Damage(path, strict=strict)
        self.warnings = images.warnings
        self.other_streams: Sequence[Any] = ()
        self.time_base = images.time_base
        self.start = images.times[0]
        self._selection = TimeRangeSelector(
            path, time_range, self.start, self.time_base, cut_threshold
        )
        within = self._selection.within(images.times)
        self.expected_frames = float(len(within))
        times = within if len(within) > 1 else images.times
        self.source_rate = (
            measure_rate(times, self.time_base, ())
            if images.rate is None
            else exact_rate(images.rate, times[0])
        )
        self.rate = self.source_rate.rate
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        self.end = images.end if time_range.end is None else None
        self._stored_tags = {
            "stores_display_matrix": stores_display_matrix,
            "stores_aspect_ratio": stores_aspect_ratio,
        }

    def interrupt(self) -> None:
        """See `FrameSource`: files are read without waiting."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no file is open between two images."""

    @cached_property
    def contents(self) -> Contents:
        suffix = self.path.suffix.lower() if self.path.is_file() else ""
        return Contents(suffix.removeprefix("."), icc_profile=self.images.first.icc_profile)

    @cached_property
    def _converter(self) -> FrameConverter:
        density = self.images.image_format.density
        aspect = Fraction(density[0] / density[1]).limit_denominator(1000) if density else None
        first = self._frame(self.images.first)
        return FrameConverter(first, "", aspect, self.time_base, self.damage, **self._stored_tags)

    @property
    def geometry(self) -> OutputGeometry:
        return self._converter.geometry

    @property
    def thumbnails(self) -> ThumbnailList:
        return self._selection.thumbnails

    @property
    def frames_read(self) -> int:
        return self._selection.frames_read

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """See `FrameSource`."""
        return self._converter.first, self._converter.colour

    def read(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        return self._selection.frames(
            self._timed_frames(), self._converter, self.frame_duration, lambda _: None
        )

    def decode_again(self) -> Iterator[av.VideoFrame]:
        """See `FrameSource`."""
        return (frame for frame, _, _ in self._timed_frames())

    def reopen(self) -> AbstractContextManager[FrameSource]:
        """See `FrameSource`."""
        return nullcontext(self)

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """See `FrameSource`."""
        return iter(())

    def _timed_frames(self) -> Iterator[TimedFrame]:
        for picture, pts, duration in self.images.decode_all():
            yield self._frame(picture), pts, duration

    def _frame(self, picture: Picture) -> av.VideoFrame:
        """Convert an image to the common format."""
        image_format = self.images.image_format
        image = (
            picture.image if image_format.alpha else np.ascontiguousarray(picture.image[..., :3])
        )
        image = with_alpha(image) if image_format.alpha else image
        image = to_sixteen_bit(image) if image_format.high_bit_depth else eight_bit(image)
        name = PNG_RGB[image_format.high_bit_depth, image_format.alpha]
        frame: Any = av.VideoFrame.from_ndarray(image, format=name)
        frame.color_primaries = picture.primaries
        frame.color_trc = picture.transfer
        for lost in picture.dropped:
            add_once(self.warnings, f"dropped from the images: {lost}")
        return frame


def add_once(texts: list[str], text: str) -> None:
    """Append a text to a list unless it is in it."""
    if text not in texts:
        texts.append(text)
