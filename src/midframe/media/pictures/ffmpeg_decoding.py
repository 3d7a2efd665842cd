"""Decode image files by FFmpeg: of more than 8 bits per sample, or of formats that Pillow does not
support."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from midframe.errors import SourceError
from midframe.media.pictures.picture import Array, Picture, unsupported_samples
from midframe.media.pixel_formats import PACKED_RGB, bit_depth

UNSAFE_PROFILES = ("png", "apng")
"""Decoders whose ICC profiles have a name. Reading the side data of such a frame ends the process
later: PyAV frees the name, which belongs to the frame, a second time."""


def bits_by_ffmpeg(path: Path) -> int:
    """Return the bits per sample of an image; 8 if FFmpeg does not support it."""
    try:
        with path.open("rb") as file, av.open(file) as container:
            form = container.streams.video[0].codec_context.format
            return bit_depth(form) if form else 8
    except (av.FFmpegError, IndexError):
        return 8


def decode_by_ffmpeg(path: Path, *, upright: bool = False) -> Picture:
    """Decode an image by FFmpeg, from an open file, since FFmpeg would parse a name as a
    pattern.

    Args:
        path: of the image.
        upright: rotate it as the file states.

    Raises:
        SourceError: its samples are not supported, or it consists of tiles, as the HEIC images of
            phones, of which PyAV decodes one (`heic.decode` joins them).
    """
    with path.open("rb") as file, av.open(file) as container:
        streams: Any = container.streams.video
        if any(stream.disposition & av.stream.Disposition.dependent for stream in streams):
            raise SourceError(
                f"{path} consists of tiles, which cannot be joined here: convert it to PNG or "
                "JPEG, or run `pip install pi-heif`"
            )
        frames = container.decode(streams[0]) if streams else iter(())
        frame = next(frames, None)
        dropped = ["all images but the first of the file"] if _has_more(frames) else []
        dropped += ["alpha, or other images of the file"] if len(streams) > 1 else []
    if frame is None:
        raise ValueError("no image in it")
    if any(part.bits > 16 for part in frame.format.components) or "f16" in frame.format.name:
        raise unsupported_samples(path, "floating-point")
    quarters = round(frame.rotation / 90) if upright else 0
    image = np.ascontiguousarray(np.rot90(_rgb_of(frame), quarters))
    profile = _icc_profile(frame, streams[0].codec_context.name)
    return Picture(image, profile, tuple(dropped), int(frame.color_primaries), int(frame.color_trc))


def _icc_profile(frame: av.VideoFrame, decoder: str) -> bytes | None:
    side_data: Any = () if decoder in UNSAFE_PROFILES else frame.side_data
    profiles = (bytes(each) for each in side_data if each.type.name == "ICC_PROFILE")
    return next(profiles, None)


def _has_more(frames: Iterator[av.VideoFrame]) -> bool:
    """Return whether another frame can be decoded, as of a video that is taken for an image."""
    try:
        return next(frames, None) is not None
    except av.FFmpegError:
        return False


def _rgb_of(frame: av.VideoFrame) -> Array:
    """Convert a frame to (H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16."""
    if frame.format.name == "ya16be":
        lines = np.frombuffer(frame.planes[0], ">u2").reshape(frame.height, -1)
        grey_alpha = lines[:, : 2 * frame.width].reshape(frame.height, frame.width, 2)
        return grey_alpha.astype(np.uint16)[..., [0, 0, 0, 1]]
    high_bit_depth = bit_depth(frame.format) > 8
    alpha = any(component.is_alpha for component in frame.format.components)
    name = PACKED_RGB[high_bit_depth, alpha]
    full = frame.format.is_rgb or frame.color_range != ColorRange.MPEG
    before = ColorRange.JPEG if full else ColorRange.MPEG
    converted = frame.reformat(
        format=name,
        src_colorspace=frame.colorspace,
        src_color_range=before,
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(converted.to_ndarray())
