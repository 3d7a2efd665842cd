"""Conversion of source frames to RGB for the network, and of its output to interpolated frames in
the source's pixel format.

Source frames are encoded as decoded, so interpolated frames must preserve everything that they
contain, or the video flickers. Luma and chroma represent more than RGB from 0 to 1: luma above
white and below black, and colours outside of the gamut. So networks receive float32 RGB that is not
clipped, and their output is converted to the source's format, range and matrix. An unchanged frame
is restored exactly.
"""

import re
from fractions import Fraction
from functools import cached_property
from math import ceil
from threading import Lock

import av
import numpy as np
import torch
from torch import Tensor

from midframe.media.colour.conversion import Colour, code_ranges, convert_format, plane_samples
from midframe.media.colour.side_data import without_side_data
from midframe.media.pictures.images import Array, blend_images
from midframe.media.pixel_formats import bit_depth, is_rgb
from midframe.tensors import to_image, to_tensor
from midframe.video.ghosts import replace_ghosts
from midframe.video.overlays import keep_overlays
from midframe.video.rgb_planes import planes_to_rgb, rgb_to_planes
from midframe.video.rgb_planes.chroma import downsample_to
from midframe.video.static_areas import keep_static

PLANAR = re.compile(r"yuv[aj]?4\d\dp(\d+le)?|gray(\d+le)?")
"""Names of the formats that need no conversion: planes of luma, both chromas and alpha."""
SUBSAMPLINGS = {
    (1, 1): "444",
    (2, 1): "422",
    (2, 2): "420",
    (1, 2): "440",
    (4, 1): "411",
    (4, 4): "410",
}
"""Names by the number of luma samples per chroma sample, along a row and a column."""


class Samples:
    """The samples of one source frame, and the frame as RGB.

    Args:
        picture: the frame as it was decoded.
        colour: how its samples represent colours.
    """

    def __init__(self, picture: av.VideoFrame, colour: Colour) -> None:
        self.picture = picture
        self.colour = colour
        self.format = av.VideoFormat(sample_format(picture.format, colour))
        """Pixel format of `planes`: that of the picture if it is planar."""
        self.bits = bit_depth(self.format)
        self.frame = convert_format(picture, colour, self.format.name)
        """The picture in that format."""
        self._tensors: dict[torch.device, Tensor] = {}
        self._lock = Lock()
        self.planes = planes_of(self.frame)
        """Luma, both chromas and alpha, (h, w) each; or RGB as one array, (H, W, 3) or (H, W, 4).
        Integers."""

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the input of networks: the frame as RGB, (1, 3, H, W), or (1, 4, H, W) with alpha,
        float32 with white = 1, not clipped. It is converted on the device, to which only the
        samples are copied.

        Thread-safe; computed on first use for each device.
        """
        device = torch.device(device)
        with self._lock:
            if device not in self._tensors:
                self._tensors[device] = (
                    to_tensor(self.planes[0], device)
                    if is_rgb(self.format)
                    else planes_to_rgb(self.planes, self.bits, self.colour, device)
                )
            return self._tensors[device]

    @cached_property
    def limits(self) -> list[tuple[int, int]]:
        """Return the range of codes in each plane, at least the nominal range."""
        peak = 2**self.bits - 1
        if is_rgb(self.format):
            return [(0, peak)]
        zeros, spans = code_ranges(self.bits, self.colour)
        lowest = (0, -0.5, -0.5, 0)  # nominal values of luma, both chromas and alpha
        limits = []
        for plane, zero, span, low in zip(self.planes, zeros, spans, lowest, strict=False):
            nominal_min = max(0, int(zero + low * span))
            nominal_max = min(peak, int(zero + (low + 1) * span))
            limits.append((min(int(plane.min()), nominal_min), max(int(plane.max()), nominal_max)))
        return limits


def interpolated_frame(
    image: Tensor,
    first: Samples,
    second: Samples,
    t: Fraction,
    *,
    keep_source_areas: bool = True,
    overlays: Array | None = None,
) -> av.VideoFrame:
    """Convert the output of a network to a frame in the format of the source frames, clipped to
    their range.

    Args:
        image: the result for the tensors of both frames, of their shape, on any device.
        first, second: the frames around it.
        t: its time, from 0 (the first frame) to 1 (the second).
        keep_source_areas: show the source frames where that is better: the blend of their samples
            in `static_areas`, and the nearest frame in `ghosts`.
        overlays: from `OverlayFinder`, (H, W), from 0 to 1: weights with which the blend of both
            frames replaces the image.
    """
    image = _restore_hidden_colours(image, first, second, t)
    if keep_source_areas:
        device = image.device
        image = replace_ghosts(image, first.tensor(device), second.tensor(device), t)
    planes = _to_planes(image, first, second)
    if keep_source_areas:
        triples = zip(planes, first.planes, second.planes, strict=True)
        planes = [keep_static(*samples, t, first.bits) for samples in triples]
    if overlays is not None:
        triples = zip(planes, first.planes, second.planes, strict=True)
        planes = [
            keep_overlays(*samples, t, _weights_of(overlays, samples[0])) for samples in triples
        ]
    return _frame_of(planes, first)


def _to_planes(image: Tensor, first: Samples, second: Samples) -> list[Array]:
    """Invert `Samples.tensor`; the result is rounded, and clipped to the `limits` of both
    frames."""
    if is_rgb(first.format):
        return [to_image(image, first.planes[0].dtype)]
    limits = [
        (min(before[0], after[0]), max(before[1], after[1]))
        for before, after in zip(first.limits, second.limits, strict=True)
    ]
    return rgb_to_planes(image, first.planes, first.bits, first.colour, limits)


def _weights_of(overlays: Array, plane: Array) -> Array:
    """Return the weights of overlays at the resolution of a plane, (h, w)."""
    return downsample_to(torch.from_numpy(overlays), *plane.shape[:2]).numpy()


def blended_frame(first: Samples, second: Samples, t: Fraction) -> av.VideoFrame:
    """Blend two frames sample by sample, the second with a weight from 0 to 1."""
    pairs = zip(first.planes, second.planes, strict=True)
    return _frame_of([blend_images(before, after, t) for before, after in pairs], first)


def planes_of(frame: av.VideoFrame) -> list[Array]:
    """Return the samples of a frame in a `sample_format`, as views of its memory; see
    `Samples.planes`."""
    bits = bit_depth(frame.format)
    if not is_rgb(frame.format):
        return [plane_samples(plane, bits) for plane in frame.planes]
    samples = np.frombuffer(frame.planes[0], np.uint16 if bits > 8 else np.uint8)
    lines = samples.reshape(frame.height, -1)
    colours = len(frame.format.components)
    return [lines[:, : frame.width * colours].reshape(frame.height, frame.width, colours)]


def sample_format(form: av.VideoFormat, colour: Colour) -> str:
    """Return the format that preserves all samples of another one, planar or else packed RGB."""
    little_endian = re.sub("be$", "le", form.name)
    if PLANAR.fullmatch(little_endian):
        return little_endian
    subsampling = SUBSAMPLINGS.get(
        (ceil(64 / form.chroma_width(64)), ceil(64 / form.chroma_height(64)))
    )
    bits = bit_depth(form)
    name = f"yuv{'a' if colour.alpha else ''}{subsampling}p{'' if bits == 8 else f'{bits}le'}"
    not_luma_chroma = is_rgb(form) or form.name.startswith("xyz")
    return colour.rgb_format if not_luma_chroma or name not in av.video.format.names else name


def _restore_hidden_colours(image: Tensor, first: Samples, second: Samples, t: Fraction) -> Tensor:
    """Blend the colours of both frames in transparent pixels: networks ignore them, and encoders
    may drop alpha."""
    if image.shape[1] == 3:
        return image
    hidden = image[:, 3:] < 0.5 / (2**first.bits - 1)
    if not hidden.any():
        return image
    before, after = (each.tensor(image.device)[:, :3] for each in (first, second))
    colours = torch.where(hidden, torch.lerp(before, after, float(t)), image[:, :3])
    return torch.cat((colours, image[:, 3:]), dim=1)


def _frame_of(planes: list[Array], like: Samples) -> av.VideoFrame:
    """Create a frame from planes with the properties of a source frame, such as its chroma
    location, which affects conversions."""
    frame = without_side_data(like.frame)
    frame.make_writable()  # a copy: the memory is that of the source frame
    for target, samples in zip(planes_of(frame), planes, strict=True):
        target[:] = samples
    return frame
