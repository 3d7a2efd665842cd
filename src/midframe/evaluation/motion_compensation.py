"""FFmpeg's motion compensation (`minterpolate`), the rival that everybody has."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from midframe.images import Array, eight_bit
from midframe.video.colour import BT709, Colour, from_rgb, in_format, to_rgb
from midframe.video.filters import pulled

NAME = "minterpolate"
SETTINGS = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
"""FFmpeg's best settings of it."""
PIXELS = "yuv420p"
"""What films are compared in."""
AHEAD = 3
"""So many frames after a gap it wants to see before it fills the gap."""
PAIR_COLOUR = Colour(BT709, full_range=True, high_bit_depth=False)
"""How the samples of a pair of pictures stand for colours."""


class MotionCompensation:
    """The filter, fed with pictures as if they came evenly; it makes the one halfway between each two.

    Args:
        picture: the first of them.
        colour: how their samples stand for colours.
        pixels: the format that they are compared in.
    """

    def __init__(self, picture: av.VideoFrame, colour: Colour, pixels: str = PIXELS) -> None:
        self.colour, self.pixels, self.fed, self.last = colour, pixels, 0, picture
        graph = av.filter.Graph()
        begin = graph.add_buffer(
            width=picture.width, height=picture.height, format=av.VideoFormat(pixels), time_base=Fraction(1)
        )
        self.end = graph.add("buffersink")
        graph.link_nodes(begin, graph.add(NAME, f"fps=2:{SETTINGS}"), self.end).configure()
        self.graph = graph

    def pass_through(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield all that the filter gives so far, in its pixel format: pictures at even, those made at odd pts."""
        given = in_format(picture, self.colour, self.pixels)
        given.pts, given.time_base, self.last = self.fed, Fraction(1), picture
        self.fed += 1
        self.graph.vpush(given)
        yield from pulled(self.end)

    def feed(self, picture: av.VideoFrame) -> Iterator[tuple[int, Array]]:
        """Yield what is made so far: the number of the frame before it, and the frame halfway after that one."""
        for made in self.pass_through(picture):
            if made.pts % 2:
                yield made.pts // 2, eight_bit(to_rgb(made, replace(self.colour, high_bit_depth=False)))

    def rest(self) -> Iterator[tuple[int, Array]]:
        """What it makes once it has seen the frames after it that it wants to see, for which the last stands."""
        for _ in range(AHEAD):
            yield from self.feed(self.last)


def compensated(first: Array, second: Array) -> Array:
    """The middle of two 8-bit frames (H, W, 3): it sees the first one twice before, the second one after it."""
    before, after = (from_rgb(image, PAIR_COLOUR, "yuv444p") for image in (first, second))
    rival = MotionCompensation(before, PAIR_COLOUR, "yuv444p")
    pictures = [before, from_rgb(first, PAIR_COLOUR, "yuv444p"), after]
    made = dict(pair for picture in pictures for pair in rival.feed(picture)) | dict(rival.rest())
    return made[1]
