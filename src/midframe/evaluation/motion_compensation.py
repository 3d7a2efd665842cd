"""Interpolation by FFmpeg's motion compensation (`minterpolate`), as a baseline."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from midframe.media.colour.conversion import BT709, Colour, convert_format, from_rgb, to_rgb
from midframe.media.colour.filters import pull_frames
from midframe.media.pictures.images import Array, eight_bit

NAME = "minterpolate"
SETTINGS = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
"""Options of the filter for its best quality."""
MIN_SIZE = 16
"""Height and width in pixels of the smallest frames that the filter takes."""
PIXEL_FORMAT = "yuv420p"
"""Pixel format in which videos are compared."""
BUFFERED_FRAMES = 3
"""Number of frames after a gap that the filter buffers before it fills the gap."""
PAIR_COLOUR = Colour(BT709, full_range=True, high_bit_depth=False)
"""Colour space of the samples of a pair of images."""


class MotionCompensation:
    """Multiplies the rate of frames that come at a constant rate, by FFmpeg's filter
    `minterpolate`.

    Args:
        picture: the first picture.
        colour: colour space of the samples.
        pixel_format: in which pictures are compared.
        factor: by which the rate is multiplied.
    """

    def __init__(
        self,
        picture: av.VideoFrame,
        colour: Colour,
        pixel_format: str = PIXEL_FORMAT,
        factor: int = 2,
    ) -> None:
        self.factor = factor
        self.colour = colour
        self.pixel_format = pixel_format
        self.frame_count = 0
        self.last = picture
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=av.VideoFormat(pixel_format),
            time_base=Fraction(1),
        )
        self.sink = graph.add("buffersink")
        graph.link_nodes(source, graph.add(NAME, f"fps={factor}:{SETTINGS}"), self.sink).configure()
        self.graph = graph

    def pass_through(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Feed a picture; yield originals, at pts that are multiples of the factor, and
        interpolated pictures at the pts between."""
        given = convert_format(picture, self.colour, self.pixel_format)
        given.pts = self.frame_count
        given.time_base = Fraction(1)
        self.last = picture
        self.frame_count += 1
        self.graph.vpush(given)
        yield from pull_frames(self.sink)

    def feed(self, picture: av.VideoFrame) -> Iterator[tuple[int, Array]]:
        """Feed a picture; yield pairs (pts, interpolated frame)."""
        for output in self.pass_through(picture):
            if output.pts % self.factor:
                colour = replace(self.colour, high_bit_depth=False)
                yield output.pts, eight_bit(to_rgb(output, colour))

    def flush(self) -> Iterator[tuple[int, Array]]:
        """Feed the last picture repeatedly; yield the frames that the filter had buffered."""
        for _ in range(BUFFERED_FRAMES):
            yield from self.feed(self.last)


def compensate(first: Array, second: Array, t: Fraction = Fraction(1, 2)) -> Array:
    """Interpolate the frame at a time, between 0 and 1, of two 8-bit frames (H, W, 3).

    The filter needs a frame before the gap that it fills, so the first frame is fed twice.
    """
    pictures = [from_rgb(image, PAIR_COLOUR, "yuv444p") for image in (first, first, second)]
    baseline = MotionCompensation(pictures[0], PAIR_COLOUR, "yuv444p", t.denominator)
    outputs = dict(pair for picture in pictures for pair in baseline.feed(picture))
    outputs |= dict(baseline.flush())
    return outputs[t.denominator + t.numerator]
