"""A result that shows the source on the left and the interpolated video on the right."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from midframe.errors import VideoError
from midframe.media.colour.conversion import from_rgb, to_rgb
from midframe.media.pictures.images import Array
from midframe.media.pictures.labels import draw_labels
from midframe.media.writing.encoders import choose_encoding
from midframe.media.writing.writer import VideoWriter
from midframe.options import CompareOptions, EncodingOptions
from midframe.video.lock import FolderLock
from midframe.video.plan import Extent
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.segments import lock_target
from midframe.video.sinks.checks import check_target
from midframe.video.sinks.protocol import Conversion
from midframe.video.sinks.segment_encoder import encoder_watchdog

GAP = 8
"""Distance between the two images, in pixels."""


class ComparisonTarget:
    """A video file of both images side by side, without other streams: a `Target`.

    Args:
        path: of the result.
        options: of the encoding.
        labels: the factors in the labels.
    """

    stores_display_matrix = False
    stores_aspect_ratio = True
    constant_rate_only = False
    min_step = Fraction(0)
    starts_at_zero = True

    def __init__(self, path: Path, options: EncodingOptions, labels: CompareOptions) -> None:
        self.path = path
        self.options = options
        self.labels = labels

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """See `Target`."""
        check_target(source, self.path, overwrite)
        if self.path.suffix.lower() == ".avi":
            raise VideoError(f"{self.path}: .avi files need a constant frame rate: use .mp4")

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """See `Target`: a comparison is short, and is not resumed."""
        return False

    def begin(self, conversion: Conversion, *, resume: bool, overwrite: bool) -> "ComparisonSink":
        """See `Target`."""
        lock = lock_target(self.path)
        try:
            return ComparisonSink(self, conversion, lock)
        except BaseException:
            lock.release()
            raise


class ComparisonSink:
    """Encodes both images of each frame immediately, without segments: a `Sink`.

    Args:
        target: of the result.
        conversion: the source, and the decisions about the result.
        lock: on the folder of the unfinished file; released when the work ends.
    """

    finished = 0
    stores_spherical_metadata = False

    def __init__(self, target: ComparisonTarget, conversion: Conversion, lock: FolderLock) -> None:
        self.lock = lock
        # both images are on an opaque canvas
        self.colour = replace(conversion.colour, alpha=False)
        self.canvas = Canvas(to_rgb(conversion.picture, self.colour), target.labels)
        sample = from_rgb(self.canvas.blank, self.colour, "yuv420p")
        self.encoding = choose_encoding(
            sample,
            self.colour,
            options=target.options,
            suffix=target.path.suffix,
            **conversion.encoding_arguments,
        )
        self.watchdog = encoder_watchdog(self.encoding)
        self.writer: VideoWriter | None = VideoWriter(
            target.path,
            conversion.source,
            sample,
            self.colour,
            self.encoding,
            with_other_streams=False,
            unfinished=lock.folder / target.path.name,
        )
        """None when the work has ended."""

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """See `Sink`."""
        assert self.writer, "the work has not ended"
        encoding = self.encoding
        for frame in frames:
            left = to_rgb(frame.original, self.colour)
            right = to_rgb(frame.picture, self.colour)
            filled = from_rgb(
                self.canvas.compose(left, right), encoding.colour, encoding.pixel_format
            )
            with self.watchdog.step():
                self.writer.write_frame(filled, frame.pts)

    def check_progress(self) -> None:
        """See `Sink`."""
        self.watchdog.check()

    def finish(self, extent: Extent) -> None:
        """See `Sink`."""
        assert self.writer, "the work has not ended"
        self.writer.finish()
        self.writer = None
        self.lock.release()

    def abort(self) -> None:
        """See `Sink`: nothing of a comparison is kept."""
        if self.writer:
            self.writer.abandon()
            self.writer = None
            self.lock.release()


class Canvas:
    """The image that contains both frames, with labels above them.

    Args:
        frame: (H, W, 3) RGB, of the size and type of all frames.
        labels: the factors in the labels.
    """

    def __init__(self, frame: Array, labels: CompareOptions) -> None:
        height, width, _ = frame.shape
        speed = f", {labels.slower} times slower" if labels.slower > 1 else ""
        strip = draw_labels(
            [f"original{speed}", f"{labels.factor} times the frames{speed}"], frame, GAP
        )
        self.top = len(strip)
        canvas_height = self.top + height
        even_height = canvas_height + canvas_height % 2
        self.blank = np.zeros((even_height, 2 * width + GAP, 3), frame.dtype)
        self.blank[: self.top] = strip

    def compose(self, left: Array, right: Array) -> Array:
        """Return a copy with both frames on it."""
        height, width, _ = left.shape
        canvas: Array = self.blank.copy()
        canvas[self.top : self.top + height, :width] = left
        canvas[self.top : self.top + height, width + GAP :] = right
        return canvas
