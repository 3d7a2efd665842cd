"""Compiling the Halide pipelines of a video at the same time, beside those of its network, when
the first frame is interpolated."""

from collections.abc import Callable
from fractions import Fraction

import av
import torch

from midframe.media.colour.conversion import Colour
from midframe.media.pixel_formats import is_rgb
from midframe.ops.dispatch import run_in_parallel
from midframe.video.block_differences import blend_error
from midframe.video.rgb_planes import rgb_to_planes
from midframe.video.samples import Samples
from midframe.video.static_areas import keep_static

SIDE = 64
"""Width and height in pixels of the frame that pipelines are compiled with."""


def compile_pipelines(picture: av.VideoFrame, colour: Colour) -> None:
    """Compile the pipelines that convert and compare frames on the CPU, in parallel threads,
    instead of one after another at their first calls.

    Args:
        picture: a frame, of which only the pixel format is used.
        colour: how its samples represent colours.
    """
    samples = Samples(av.VideoFrame(SIDE, SIDE, picture.format.name), colour)
    planes, bits = samples.planes, samples.bits
    image = torch.zeros(1, 4 if colour.alpha else 3, SIDE, SIDE)
    image = image.contiguous(memory_format=torch.channels_last)
    calls: list[Callable[[], object]] = [lambda: blend_error(image, image, image, 0.5, 2)]
    if not is_rgb(samples.format):
        calls += [
            samples.tensor,
            lambda: rgb_to_planes(image, planes, bits, colour, samples.limits),
            lambda: keep_static(planes[0], planes[0], planes[0], Fraction(1, 2), bits),
        ]
    run_in_parallel(*calls)
