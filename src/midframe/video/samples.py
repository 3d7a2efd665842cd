"""Conversion of source frames to RGB for the network, and of its output to interpolated frames in
the source's pixel format.

Source frames are encoded as decoded, so interpolated frames must preserve everything that they
contain, or the video flickers. Luma and chroma represent more than RGB from 0 to 1: luma above
white and below black, and colours outside of the gamut. So networks receive float32 RGB that is not
clipped, and their output is converted to the source's format, range and matrix. Chroma is upsampled
such that the mean over the pixels of a chroma sample is its value, and downsampled by that mean: an
unchanged frame is restored exactly.
"""

import re
from fractions import Fraction
from functools import cached_property
from threading import Lock

import av
import numpy as np
import torch
from torch import Tensor

from midframe.media.colour.conversion import (
    BT709,
    LUMA_WEIGHTS,
    YCGCO,
    Colour,
    code_ranges,
    convert_format,
    is_rgb,
    luma_chroma,
    plane_of,
)
from midframe.media.colour.side_data import without_side_data
from midframe.media.pictures.images import Array, blend_images
from midframe.tensors import to_image, to_tensor
from midframe.transfers import download, upload
from midframe.video.ghosts import replace_ghosts
from midframe.video.overlays import keep_overlays
from midframe.video.static_areas import keep_still

PLANAR = re.compile(r"yuv[aj]?4\d\dp(\d+le)?|gray(\d+le)?")
"""Names of the formats that need no conversion: planes of luma, both chromas and alpha."""
ALPHA = 3
"""Index of alpha among planes and colours."""
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
        self.bits = max(part.bits for part in self.format.components)
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
                    else _rgb_of(self.planes, self.bits, self.colour, device)
                )
            return self._tensors[device]

    @cached_property
    def limits(self) -> list[tuple[int, int]]:
        """Return the range of codes in each plane, at least the nominal range."""
        peak = 2**self.bits - 1
        if is_rgb(self.format):
            return [(0, peak)]
        spans = zip(
            self.planes, *code_ranges(self.bits, self.colour), (0, 0.5, 0.5, 0), strict=False
        )
        return [
            (min(int(plane.min()), max(0, int(zero - below * span))),
             max(int(plane.max()), min(peak, int(zero + (1 - below) * span))))
            for plane, zero, span, below in spans
        ]  # fmt: skip


def interpolated_frame(
    image: Tensor,
    first: Samples,
    second: Samples,
    t: Fraction,
    *,
    restore: bool = True,
    overlays: Array | None = None,
) -> av.VideoFrame:
    """Convert the output of a network to a frame in the format of the source frames, clipped to
    their range.

    Args:
        image: the result for the tensors of both frames, of their shape, on any device.
        first, second: the frames around it.
        t: its time, from 0 (the first frame) to 1 (the second).
        restore: show the source frames where that is better: the blend of their samples where they
            agree, see `static_areas`, and the nearest of them in `ghosts`.
        overlays: from `OverlayFinder`, (H, W), from 0 to 1: weights with which the blend of both
            frames replaces the image.
    """
    image = _restore_hidden_colours(image, first, second, t)
    if restore:
        device = image.device
        image = replace_ghosts(image, first.tensor(device), second.tensor(device), t)
    planes = _to_planes(image, first, second)
    if restore:
        triples = zip(planes, first.planes, second.planes, strict=True)
        planes = [keep_still(*samples, t, first.bits) for samples in triples]
    if overlays is not None:
        weights = [
            _downsample_to(torch.from_numpy(overlays), *plane.shape[:2]).numpy() for plane in planes
        ]
        triples = zip(planes, first.planes, second.planes, strict=True)
        planes = [
            keep_overlays(*samples, t, each) for samples, each in zip(triples, weights, strict=True)
        ]
    return _frame_of(planes, first)


def blended_frame(first: Samples, second: Samples, t: Fraction) -> av.VideoFrame:
    """Blend two frames sample by sample, the second with a weight from 0 to 1."""
    return _frame_of(
        [blend_images(*pair, t) for pair in zip(first.planes, second.planes, strict=True)], first
    )


def planes_of(frame: av.VideoFrame) -> list[Array]:
    """Return the samples of a frame in a `sample_format`, as views of its memory; see
    `Samples.planes`."""
    bits = max(part.bits for part in frame.format.components)
    if not is_rgb(frame.format):
        return [plane_of(plane, bits) for plane in frame.planes]
    rows = np.frombuffer(frame.planes[0], np.uint16 if bits > 8 else np.uint8).reshape(
        frame.height, -1
    )
    colours = len(frame.format.components)
    return [rows[:, : frame.width * colours].reshape(frame.height, frame.width, colours)]


def sample_format(form: av.VideoFormat, colour: Colour) -> str:
    """Return the format that preserves all samples of another one, planar or else packed RGB."""
    little_endian = re.sub("be$", "le", form.name)
    if PLANAR.fullmatch(little_endian):
        return little_endian
    subsampling = SUBSAMPLINGS.get(
        (-(-64 // form.chroma_width(64)), -(-64 // form.chroma_height(64)))
    )
    bits = max(part.bits for part in form.components)
    name = f"yuv{'a' if colour.alpha else ''}{subsampling}p{'' if bits == 8 else f'{bits}le'}"
    foreign = is_rgb(form) or form.name.startswith("xyz")
    return colour.rgb_format if foreign or name not in av.video.format.names else name


def _rgb_of(planes: list[Array], bits: int, colour: Colour, device: torch.device) -> Tensor:
    """Convert planes of luma, both chromas and alpha to RGB on a device; see `Samples.tensor`."""
    height, width = planes[0].shape
    zeros, spans = code_ranges(bits, colour)
    values = [
        upload(torch.from_numpy(plane), device).float().sub_(float(zero)).mul_(float(1 / span))
        for plane, zero, span in zip(planes, zeros, spans, strict=False)
    ]
    luma, others = values[0], values[1:]
    result = torch.empty(height, width, 3 + colour.alpha, device=device)
    if colour.alpha:
        result[..., 3] = others.pop()
    if others:
        blue, red = (_upsample_to(plane, height, width) for plane in others)
        inverse = np.linalg.inv(_matrix(colour))
        torch.add(luma, red, alpha=inverse[0, 2], out=result[..., 0])
        torch.add(luma, blue, alpha=inverse[2, 1], out=result[..., 2])
        luma.add_(blue, alpha=inverse[1, 1])
        torch.add(luma, red, alpha=inverse[1, 2], out=result[..., 1])
    else:
        result[..., :3] = luma[..., None]
    return result.permute(2, 0, 1)[None]


def _to_planes(image: Tensor, first: Samples, second: Samples) -> list[Array]:
    """Invert `Samples.tensor`; the result is rounded, and clipped to the `limits` of both
    frames."""
    if is_rgb(first.format):
        return [to_image(image, first.planes[0].dtype)]
    small = image[0].permute(1, 2, 0)
    matrix = _matrix(first.colour)
    planes: list[Array] = []
    details = zip(
        first.planes,
        first.limits,
        second.limits,
        *code_ranges(first.bits, first.colour),
        strict=False,
    )
    for number, (like, *limits, zero, span) in enumerate(details):
        if number == ALPHA:
            plane = image[0, ALPHA]
        else:
            small = _downsample_to(small, *like.shape)  # once for both chromas
            plane = _sum_colours(small, matrix[number])
        low, high = min(limits[0][0], limits[1][0]), max(limits[0][1], limits[1][1])
        coded = (plane * float(span)).add_(float(zero)).round_().clamp_(low, high)
        planes.append(download(coded.to(getattr(torch, like.dtype.name))).numpy())
    return planes


def _sum_colours(image: Tensor, weights: Array) -> Tensor:
    red = image[..., 0]
    green = image[..., 1]
    blue = image[..., 2]
    weighted: Tensor = (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])
    return weighted


def _matrix(colour: Colour) -> Array:
    """Return the matrix from RGB to luma and chroma. For unknown ones it is BT.709, which is
    correct since the conversion is inverted afterwards."""
    known = colour.matrix in LUMA_WEIGHTS or colour.matrix == YCGCO
    return luma_chroma(colour.matrix if known else BT709)


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


def _upsample_to(plane: Tensor, height: int, width: int) -> Tensor:
    """Upsample a plane by 1, 2 or 4 along each axis; its size is the result's divided by that,
    rounded up."""
    for axis, size in enumerate((height, width)):
        while plane.shape[axis] < size:
            step = next(
                each
                for each in (size, -(-size // 2), -(-size // 4))
                if -(-each // 2) == plane.shape[axis]
            )
            plane = _upsample_by_2(plane, axis, step)
    return plane


def _upsample_by_2(plane: Tensor, axis: int, size: int) -> Tensor:
    """Upsample by 2 along an axis: two values per sample, on the slope between its neighbours, with
    the sample as their mean."""
    last = plane.shape[axis] - 1
    before = torch.cat((plane.narrow(axis, 0, 1), plane.narrow(axis, 0, last)), axis)
    after = torch.cat((plane.narrow(axis, 1, last), plane.narrow(axis, last, 1)), axis)
    step = after.sub_(before).mul_(1 / 8)
    if size % 2:
        step.narrow(axis, last, 1).zero_()  # the last sample has only one pixel
    result = plane.new_empty(*plane.shape[:axis], 2 * (last + 1), *plane.shape[axis + 1 :])
    pairs = result.view(*plane.shape[: axis + 1], 2, *plane.shape[axis + 1 :])
    torch.sub(plane, step, out=pairs.select(axis + 1, 0))
    torch.add(plane, step, out=pairs.select(axis + 1, 1))
    return result.narrow(axis, 0, size)


def _downsample_to(image: Tensor, height: int, width: int) -> Tensor:
    """Invert `_upsample_to`, for (H, W) or (H, W, C), by averaging pairs of values."""
    for axis, size in enumerate((height, width)):
        while (length := image.shape[axis]) > size:
            if length % 2:
                image = torch.cat((image, image.narrow(axis, length - 1, 1)), axis)
            pairs = image.view(*image.shape[:axis], -1, 2, *image.shape[axis + 1 :])
            image = (pairs.select(axis + 1, 0) + pairs.select(axis + 1, 1)).mul_(0.5)
    return image
