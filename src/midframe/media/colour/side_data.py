"""Side data of decoded frames, as bytes by name."""

import re
import threading
from typing import Any

import av
from av.sidedata.sidedata import Type

from midframe.media.colour.filters import PictureFilter

CAPTIONS = "A53_CC"
"""Closed captions, CEA-608 and 708 (ATSC A/53, part 4)."""
CAPTION_ENCODERS = frozenset(
    ("libx264", "libx265", "h264_nvenc", "hevc_nvenc", "h264_videotoolbox", "hevc_videotoolbox")
)
"""Encoders of FFmpeg that write closed captions into the picture."""
LOST = {
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "S12M_TIMECODE": "time codes of single frames",
    "AFD": "active format description",
}
"""Side data that no encoder of FFmpeg writes for interpolated frames."""
DOLBY_VISION = re.compile(r"DOVI configuration record:.* profile: (\d+),.* compatibility id: (\d+)")
"""As FFmpeg describes a stream of Dolby Vision."""
DOLBY_COLOURS = ("5", "10", "20")
"""Profiles of Dolby Vision whose pictures have colours of their own (ICtCp with a reshaping), if
their compatibility id is 0: only the metadata of each frame convert them to HDR or SDR."""
UNKNOWN = "UNKNOWN_{}"
"""Name of a side data type that PyAV does not list."""
MAX_TYPE = 64
"""Side data types are small numbers; FFmpeg 8 has 32 of them."""


def _register_unknown_types() -> None:
    """Add the types that PyAV's enumeration lacks: without them, reading side data of these types
    raises an error."""
    for number in range(MAX_TYPE):
        if number not in Type._value2member_map_:
            member: Any = object.__new__(Type)
            member._name_ = UNKNOWN.format(number)
            member._value_ = number
            Type._value2member_map_[number] = member


_register_unknown_types()


def side_data_of(frame: av.VideoFrame) -> dict[str, bytes]:
    """Return the side data of a decoded frame by FFmpeg's names; types that PyAV does not list are
    omitted."""
    found: Any = frame.side_data
    return {
        each.type.name: bytes(each) for each in found if not each.type.name.startswith(UNKNOWN[:-2])
    }


def lost_metadata(picture: av.VideoFrame, description: str) -> list[str]:
    """List the metadata of a source that cannot be written to a result.

    Args:
        picture: a frame of the source.
        description: of its stream, as FFmpeg prints it.
    """
    found = side_data_of(picture)
    lost = dict.fromkeys(text for name, text in LOST.items() if name in found)
    if "DOVI configuration record" in description:
        lost[LOST["DOVI_METADATA"]] = None
    if "(multilayer)" in description:
        lost["the second view of spatial video (MV-HEVC)"] = None
    return list(lost)


def has_dolby_colours(description: str) -> bool:
    """Return whether the pictures of a stream have wrong colours without their Dolby Vision
    metadata.

    Args:
        description: of the stream, as FFmpeg prints it.
    """
    found = DOLBY_VISION.search(description)
    return found is not None and found[1] in DOLBY_COLOURS and found[2] == "0"


_of_thread = threading.local()
"""The filter of `without_side_data`, one for each thread: building it takes longer than a small
frame."""


def without_side_data(frame: av.VideoFrame) -> av.VideoFrame:
    """Return the same frame, sharing its samples, without side data."""
    if (kept := getattr(_of_thread, "without_side_data", None)) is None:
        kept = _of_thread.without_side_data = PictureFilter(("sidedata", "mode=delete"))
    return kept.apply(frame)


def with_side_data(picture: av.VideoFrame, donor: av.VideoFrame) -> av.VideoFrame:
    """Return a frame with the samples of `picture` and the side data of `donor`, of the same size.

    PyAV cannot attach side data, so the donor is converted to the picture's pixel format, and its
    samples are overwritten.
    """
    filters = ("scale", ""), ("format", f"pix_fmts={picture.format.name}"), ("copy", "")
    copy = PictureFilter(*filters).apply(donor)
    copy.make_writable()
    for target, source in zip(copy.planes, picture.planes, strict=True):
        if target.line_size == source.line_size:
            target.update(bytes(source)[: target.buffer_size])
        else:
            data = bytes(source)
            length = min(target.line_size, source.line_size)
            lines = [data[row * source.line_size :][:length] for row in range(source.height)]
            target.update(b"".join(line.ljust(target.line_size, b"\0") for line in lines))
    copy.colorspace = picture.colorspace
    copy.color_range = picture.color_range
    copy.color_primaries = picture.color_primaries
    copy.color_trc = picture.color_trc
    return copy
