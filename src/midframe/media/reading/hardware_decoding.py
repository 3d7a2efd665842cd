"""Decoding on a GPU, through FFmpeg's hardware acceleration.

Decoded frames are copied to main memory, in formats with interleaved chroma, and converted to the
planar format that FFmpeg's own decoders output. The samples stay the same.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.hwaccel import HWAccel

from midframe.errors import OptionError, SourceError
from midframe.media.colour.conversion import plane_samples
from midframe.media.colour.filters import PictureFilter
from midframe.media.pictures.images import Array
from midframe.media.pixel_formats import bit_depth
from midframe.media.reading.video_file import decoder_of, demux, find_video_stream, open_video

CODECS = ("h264", "hevc", "av1", "vp9", "mpeg2video")
"""Codecs whose decoders are searched for devices."""
PLANAR_FORMATS = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p410le": "yuv444p10le",
    "p412le": "yuv444p12le",
}
"""Planar formats by the name of the format with interleaved chroma."""


def supported_devices() -> dict[str, str]:
    """Return the types of devices for which this FFmpeg has decoders, as in "cuda", each with a
    codec that it decodes."""
    return {
        config.device_type.name: codec
        for codec in CODECS
        if codec in av.codecs_available
        for config in av.Codec(codec, "r").hardware_configs
        if config.is_supported
    }


def working_devices() -> list[str]:
    """Return the types of devices that this machine has."""
    found = []
    for device in supported_devices():
        with suppress(OptionError):
            check_device(device)
            found.append(device)
    return found


def check_device(device: str) -> None:
    """Check that a device for decoding is available.

    Raises:
        OptionError: it is not; the text lists the types that this FFmpeg supports.
    """
    supported = supported_devices()
    if device not in supported:
        raise OptionError(
            f"`hwaccel` is {device!r}: this FFmpeg supports {', '.join(supported) or 'none'}"
        )
    try:
        accelerator(device).create(av.Codec(supported[device], "r"))
    except av.FFmpegError as error:
        raise OptionError(
            f"`hwaccel` is {device!r}, which is not available here ({error.strerror}): check the "
            "driver of the GPU, or drop `hwaccel`"
        ) from error


def accelerator(device: str, *, fallback: bool = True) -> HWAccel:
    """Return the settings with which PyAV decodes on a device.

    Args:
        device: its type.
        fallback: decode on the processor, without an error, where the device cannot.
    """
    return HWAccel(device, allow_software_fallback=fallback)


def decodes_exactly(path: Path, device: str) -> bool:
    """Return whether a device decodes the first frame of a video, with the same samples as the
    processor.

    It does not if it lacks the codec, the profile or the size, or ignores a crop.
    """
    try:
        decoded = _first_frame(path, accelerator(device, fallback=False))
    except (SourceError, av.FFmpegError):
        return False
    expected = _first_frame(path)
    return (
        decoded is not None
        and expected is not None
        and decoded.format.name == expected.format.name
        and all(map(np.array_equal, _samples_of(decoded), _samples_of(expected)))
    )


class PlanarConverter:
    """Converts frames of one stream to the planar format with the same samples."""

    def __init__(self) -> None:
        self._filters = {
            name: PictureFilter(("format", planar)) for name, planar in PLANAR_FORMATS.items()
        }

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame with its samples in separate planes; the same object if they are."""
        to_planar = self._filters.get(frame.format.name)
        return to_planar.apply(frame) if to_planar else frame


def _first_frame(path: Path, hwaccel: HWAccel | None = None) -> av.VideoFrame | None:
    with open_video(path, hwaccel=hwaccel) as container:
        stream: Any = find_video_stream(container, path)
        decoder = decoder_of(stream, hwaccel)
        if hwaccel and not decoder.is_hwaccel:
            return None
        for packet in demux(container, [stream]):
            for frame in decoder.decode(packet):
                return PlanarConverter().convert(frame)
    return None


def _samples_of(frame: av.VideoFrame) -> list[Array]:
    bits = bit_depth(frame.format)
    return [plane_samples(plane, bits) for plane in frame.planes]
