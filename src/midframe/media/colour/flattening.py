"""Composite frames with alpha onto black, for results that have none."""

from dataclasses import replace

import av
import numpy as np

from midframe.media.colour.conversion import Colour, code_ranges, from_rgb, plane_samples, to_rgb
from midframe.media.pictures.images import Array, on_black
from midframe.media.pixel_formats import bit_depth, has_alpha, is_rgb

ALPHA = 3
"""Index of alpha among the planes."""


def flatten(frame: av.VideoFrame, colour: Colour) -> av.VideoFrame:
    """Composite a frame onto black; the same object if it has no alpha. Opaque pixels keep their
    samples.

    Args:
        frame: a picture whose alpha is not multiplied into its colours.
        colour: how its samples represent colours.
    """
    if not has_alpha(frame.format):
        return frame
    if is_rgb(frame.format) or len(frame.planes) <= ALPHA:  # also grey, and packed samples
        image = on_black(to_rgb(frame, replace(colour, alpha=True)))
        opaque = replace(colour, alpha=False)
        flat = from_rgb(image, opaque, opaque.rgb_format)
    else:
        flat = _flatten_planes(frame, colour)
    flat.colorspace, flat.color_range = frame.colorspace, frame.color_range
    flat.color_primaries, flat.color_trc = frame.color_primaries, frame.color_trc
    return flat


def _flatten_planes(frame: av.VideoFrame, colour: Colour) -> av.VideoFrame:
    bits = bit_depth(frame.format)
    zeros, _ = code_ranges(bits, colour)
    opacity = plane_samples(frame.planes[ALPHA], bits).astype(np.float32) / (2**bits - 1)
    flat = av.VideoFrame(frame.width, frame.height, frame.format.name.replace("yuva", "yuv"))
    for plane, zero, target in zip(frame.planes, zeros, flat.planes, strict=False):
        codes = plane_samples(plane, bits)
        weights = _downscale(opacity, *codes.shape)
        lines = np.zeros((target.height, target.line_size // codes.itemsize), codes.dtype)
        lines[:, : target.width] = np.rint(zero + (codes - zero) * weights)
        target.update(lines)
    return flat


def _downscale(samples: Array, height: int, width: int) -> Array:
    """Return the means of the samples in (height, width) blocks, as chroma is subsampled."""
    down, across = -(-samples.shape[0] // height), -(-samples.shape[1] // width)
    padding = (height * down - samples.shape[0], width * across - samples.shape[1])
    padded = np.pad(samples, [(0, each) for each in padding], mode="edge")
    blocks: Array = padded.reshape(height, down, width, across)
    return np.asarray(blocks.mean(axis=(1, 3)))
