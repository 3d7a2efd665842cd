"""A video that shows what interpolation does: the original on the left, interpolated on the right,
slowed down."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from midframe.errors import VideoError
from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import Colour, from_rgb, to_rgb
from midframe.media.pictures.images import Array
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.source import WHOLE, Frame, Part, log_damage
from midframe.media.writing.encoders import choose_encoding
from midframe.media.writing.writer import VideoWriter
from midframe.options import (
    CompareOptions,
    EncodingOptions,
    EnsembleSize,
    InterpolationOptions,
    Precision,
    SourceOptions,
)
from midframe.video.segments import lock_target
from midframe.video.target_checks import check_target
from midframe.video.timeline import Timeline, TrueTimes, shown_between

GAP = 8
"""Between the two pictures, in pixels."""
LABEL_SHARE = 18
"""The strip with the labels is the picture's height divided by this."""


def compare_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int = CompareOptions.factor,
    slower: int = CompareOptions.slower,
    part: Part = WHOLE,
    model: str | Interpolator = InterpolationOptions.model,
    device: str = InterpolationOptions.device,
    tile: int | None = InterpolationOptions.tile,
    scale: int | None = InterpolationOptions.scale,
    ensemble: EnsembleSize = InterpolationOptions.ensemble,
    precision: Precision = InterpolationOptions.precision,
    codec: str | None = EncodingOptions.codec,
    crf: int = EncodingOptions.crf,
    cut_threshold: float = SourceOptions.cut_threshold,
    overwrite: bool = False,
    progress: Callable[[float, float | None], None] | None = None,
) -> int:
    """Write a video with the original beside the interpolated one, slowed down, labelled and
    without sound.

    Args:
        source, target, model, device, tile, scale, ensemble, precision, codec, crf, cut_threshold,
            overwrite: as in `interpolate_video`.
        factor, slower: as in `CompareOptions`.
        part: what is shown of the source.
        progress: called with the number of source frames that are done, and their total, if known.

    Returns:
        The number of source frames shown.

    Raises:
        OptionError: an option has a value that it cannot have.
        VideoError: the source cannot be read, the part lies outside of it, or the target cannot be
            written.
    """
    source, target = Path(source), Path(target)
    options, encoding_options = CompareOptions(factor, slower), EncodingOptions(codec, crf)
    source_options = SourceOptions(part.start, part.end, cut_threshold=cut_threshold)
    check_target(source, target, overwrite)
    if target.suffix.lower() == ".avi":
        raise VideoError(f"{target}: .avi files need a constant frame rate: use .mp4")
    tool = (
        model
        if isinstance(model, Interpolator)
        else Interpolator(
            model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision
        )
    )
    with VideoReader(
        source, source_options.cut_threshold or None, part, holds_matrix=False
    ) as reader:
        picture, colour = reader.first_picture()
        colour = replace(colour, alpha=False)  # both frames stand on one opaque sheet
        sheet = _Sheet(
            to_rgb(picture, colour), f"{options.factor} times the frames", options.slower
        )
        sample = from_rgb(sheet.blank, colour, "yuv420p")
        timeline = TrueTimes(
            options.factor, reader.rate, reader.time_base, Fraction(options.slower)
        )
        shape: dict[str, Any] = {"time_base": timeline.time_base, "rate": timeline.rate}
        shape |= {"sample_aspect_ratio": reader.layout.sample_aspect_ratio}
        encoding = choose_encoding(
            sample, colour, options=encoding_options, suffix=target.suffix, **shape
        )
        lock = lock_target(target)
        try:
            unfinished, frames = lock.folder / target.name, 0
            writing = VideoWriter(
                target, reader, sample, colour, encoding, others=False, unfinished=unfinished
            )
            with writing as writer:
                for frames, left, right, pts in _shown(reader, tool, colour, timeline, progress):  # noqa: B007
                    filled = from_rgb(
                        sheet.filled(left, right), encoding.colour, encoding.pixel_format
                    )
                    writer.write_frame(filled, pts)
        finally:
            lock.release()
        log_damage(reader)
    return frames


def _shown(
    reader: VideoReader,
    tool: Interpolator,
    colour: Colour,
    timeline: Timeline,
    progress: Callable[[float, float | None], None] | None,
) -> Iterator[tuple[int, Array, Array, int]]:
    """Yield (source frames so far, left, right, pts in the timeline's time base) for every frame of
    the comparison."""
    count, origin, before_time = 0, Fraction(0), Fraction(0)
    expected = reader.expected_frames
    before: Frame | None = None
    before_rgb: Array = np.zeros(0)

    def report(fraction: float) -> None:
        if progress:
            progress(count + fraction, expected)

    for frame in reader.read():
        rgb, time = to_rgb(frame.picture, colour), frame.pts * reader.time_base
        origin = time if before is None else origin
        if before:
            shown = list(shown_between(timeline, before_time, time, tool.depth))
            images = [before_rgb] * len(shown)
            if not frame.begins_scene:
                images = tool.interpolate_many(
                    before_rgb, rgb, [each.t for each in shown], progress=report
                )
            for image, each in zip(images, shown, strict=True):
                yield (
                    count,
                    before_rgb,
                    image,
                    each.pts - round(origin * timeline.slow / timeline.time_base),
                )
        count, before, before_rgb, before_time = count + 1, frame, rgb, time
        report(0)
    if before:
        end = before_time + (before.duration or reader.frame_duration) * reader.time_base
        for each in shown_between(timeline, before_time, end, tool.depth):
            yield (
                count,
                before_rgb,
                before_rgb,
                each.pts - round(origin * timeline.slow / timeline.time_base),
            )


class _Sheet:
    """The picture that both frames are put on, with the labels above them."""

    def __init__(self, frame: Array, right_label: str, slower: int) -> None:
        height, width, _ = frame.shape
        self.top = max(16, height // LABEL_SHARE)
        high, wide = self.top + height, 2 * width + GAP
        strip = Image.new("RGB", (wide, self.top))
        pen, font = ImageDraw.Draw(strip), ImageFont.load_default(size=self.top * 0.6)
        speed = f", {slower} times slower" if slower > 1 else ""
        for label, centre in (
            (f"original{speed}", width // 2),
            (f"{right_label}{speed}", width + GAP + width // 2),
        ):
            pen.text((centre, self.top // 2), label, fill="white", font=font, anchor="mm")
        self.blank = np.zeros((high + high % 2, wide, 3), frame.dtype)
        self.blank[: self.top] = np.asarray(strip).astype(frame.dtype) * (
            np.iinfo(frame.dtype).max // 255
        )

    def filled(self, left: Array, right: Array) -> Array:
        """A copy with both frames on it."""
        height, width, _ = left.shape
        if height > len(self.blank) - self.top or 2 * width + GAP != self.blank.shape[1]:
            raise VideoError(
                "the frame size changes within the video: split it there and convert each piece"
            )
        sheet: Array = self.blank.copy()
        sheet[self.top : self.top + height, :width] = left
        sheet[self.top : self.top + height, width + GAP :] = right
        return sheet
