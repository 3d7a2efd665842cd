"""Metadata of spherical and stereoscopic videos: the projection, and the layout of the views.

FFmpeg's muxers write this from side data of a stream, which PyAV cannot set. So there is a
template: an MP4 file of one encoded frame, in memory, into which the boxes `st3d` and `sv3d` are
put (Google, Spherical Video V2 RFC); the stream that FFmpeg reads from it has the side data, and
the result's stream is created like it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import av

from midframe.media.colour.side_data import side_data_of
from midframe.media.writing.encoders import Encoding

STEREO_MODES = {(1, 0): 2, (2, 0): 1}
"""(type, flags) of FFmpeg's AVStereo3D -> stereo mode of `st3d`: side by side, top and bottom."""
STEREO_NAMES = (
    "2D",
    "side by side",
    "top and bottom",
    "alternating frames",
    "checkerboard",
    "quincunx",
    "rows",
    "columns",
)
EQUIRECTANGULAR, CUBEMAP, EQUIRECTANGULAR_TILE = 0, 1, 2
"""Projections of FFmpeg's AVSphericalMapping that the boxes can state."""
PROJECTION_NAMES = (
    "equirectangular",
    "cubemap",
    "tiled equirectangular",
    "half equirectangular",
    "rectilinear",
    "fisheye",
)
SAMPLE_ENTRY = 78
"""Bytes of a visual sample entry before its boxes, after its header (ISO/IEC 14496-12, 12.1.3)."""
PARAMETER_SETS = ("h264", "hevc")
"""Codecs whose parameter sets a muxer reads from the first packet."""
PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
"""The boxes in which the sample entry lies."""


@dataclass(frozen=True)
class Immersion:
    """Spherical and stereoscopic metadata of a frame."""

    stereo: tuple[int, ...] | None = None
    """FFmpeg's AVStereo3D as integers; None for a flat picture."""
    sphere: tuple[int, ...] | None = None
    """FFmpeg's AVSphericalMapping as integers; None for a flat picture."""

    @property
    def names(self) -> tuple[str, ...]:
        """Describe it for a report."""
        stereo = [f"stereo 3D ({_name(STEREO_NAMES, self.stereo[0])})"] if self.stereo else []
        return (
            *stereo,
            *(
                [f"spherical video ({_name(PROJECTION_NAMES, self.sphere[0])})"]
                if self.sphere
                else []
            ),
        )

    @property
    def can_be_carried(self) -> bool:
        """Return whether the boxes can state all of it."""
        stereo = self.stereo is None or self.stereo[:2] in STEREO_MODES
        return stereo and (self.sphere is None or self.sphere[0] <= EQUIRECTANGULAR_TILE)


def immersion_of(picture: av.VideoFrame) -> Immersion | None:
    """Read the metadata of a decoded frame; None for an ordinary one."""
    found = side_data_of(picture)
    stereo = (
        struct.unpack("<9i", found["STEREO3D"][:36])
        if len(found.get("STEREO3D", b"")) >= 36
        else None
    )
    sphere = (
        struct.unpack("<4i5I", found["SPHERICAL"][:36])
        if len(found.get("SPHERICAL", b"")) >= 36
        else None
    )
    if stereo and stereo[0] == 0:
        stereo = None
    return Immersion(stereo, sphere) if stereo or sphere else None


@dataclass(frozen=True)
class Template:
    """The template of the video stream of a result."""

    container: Any
    """The open template, with one stream; only its side data is used."""
    extradata: bytes | None
    """Of the encoder, which the stream gets instead of its own."""

    @property
    def stream(self) -> Any:
        return self.container.streams.video[0]


def template_of(encoding: Encoding, immersion: Immersion) -> Template:
    """Create a template whose stream resembles that of the result and has the metadata.

    Args:
        encoding: of the result.
        immersion: what is carried.

    Raises:
        av.FFmpegError, ValueError: MP4 cannot hold the codec.
    """
    blank = av.VideoFrame(encoding.width, encoding.height, encoding.pixel_format)
    for plane in blank.planes:
        plane.update(bytes(plane.buffer_size))
    blank.pts, blank.time_base = 0, encoding.time_base
    encoder = encoding.open_encoder()
    packets = [*encoder.encode(blank), *encoder.encode(None)]
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        codec = av.Codec(encoding.encoder, "w").canonical_name
        stream: Any = container.add_mux_stream(
            codec, encoding.rate, width=encoding.width, height=encoding.height
        )
        packet = av.Packet(
            bytes(encoder.extradata or b"") * (codec in PARAMETER_SETS) + bytes(packets[0])
        )
        packet.pts = packet.dts = 0
        packet.duration, packet.is_keyframe, packet.time_base, packet.stream = (
            1,
            True,
            encoding.time_base,
            stream,
        )
        container.mux(packet)
    return Template(
        av.open(BytesIO(_add_boxes(file.getvalue(), boxes_of(immersion)))), encoder.extradata
    )


def boxes_of(immersion: Immersion) -> bytes:
    """Return the boxes `st3d` and `sv3d`."""
    boxes = b""
    if immersion.stereo:
        boxes += _box(
            b"st3d", bytes(4), bytes([STEREO_MODES[immersion.stereo[0], immersion.stereo[1]]])
        )
    if immersion.sphere:
        kind, yaw, pitch, roll, left, top, right, bottom, padding = immersion.sphere
        pose = _box(b"prhd", bytes(4), struct.pack(">3i", yaw, pitch, roll))
        equirectangular = _box(b"equi", bytes(4), struct.pack(">4I", top, bottom, left, right))
        shape = (
            _box(b"cbmp", bytes(4), struct.pack(">2I", 0, padding))
            if kind == CUBEMAP
            else equirectangular
        )
        boxes += _box(b"sv3d", _box(b"svhd", bytes(4), b"midframe\0"), _box(b"proj", pose, shape))
    return boxes


def _box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + name + content


def _add_boxes(file: bytes, boxes: bytes) -> bytes:
    """Return an MP4 file, whose index comes last, with boxes added at the end of its first sample
    entry."""
    data, begin, end, sizes = bytearray(file), 0, len(file), []
    for name in PATH:
        begin, end = _find(data, name, begin, end)
        sizes.append(begin - 8)
        begin += 8 if name == b"stsd" else 0  # version, flags and number of entries
    entry = begin
    end = entry + struct.unpack_from(">I", data, entry)[0]
    for place in (*sizes, entry):
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(boxes))
    data[end:end] = boxes
    return bytes(data)


def _find(data: bytes | bytearray, name: bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the range of the content of a box."""
    while begin < end:
        size, found = struct.unpack_from(">I4s", data, begin)
        if found == name:
            return begin + 8, begin + size
        begin += max(size, 8)
    raise ValueError(f"the file has no box {name!r}")


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else "of an unknown layout"


def hide_apple_boxes(path: Path) -> None:
    """Turn the box `vexu` of a finished MP4 or QuickTime file into free space.

    FFmpeg writes it beside `st3d` and `sv3d`. It cannot state the layout of packed views or a pose
    there, and its own demuxer prefers this box to the others.
    """
    with path.open("r+b") as file:
        begin, size = _top_box(file, PATH[0])
        file.seek(begin)
        index = file.read(size)
        place, end = 0, size
        for name in PATH[1:]:
            place, end = _find(index, name, place, end)
        entry = place + 8  # version, flags and number of entries
        children = entry + 8 + SAMPLE_ENTRY
        try:
            content, _ = _find(
                index, b"vexu", children, entry + struct.unpack_from(">I", index, entry)[0]
            )
        except ValueError:
            return
        file.seek(begin + content - 4)
        file.write(b"free")


def _top_box(file: BinaryIO, name: bytes) -> tuple[int, int]:
    """Return the position and the length of the content of a box of a file."""
    file.seek(0)
    while len(header := file.read(16)) >= 8:
        size, found = struct.unpack(">I4s", header[:8])
        size, length = (struct.unpack(">Q", header[8:])[0], 16) if size == 1 else (size, 8)
        begin = file.tell() - len(header) + length
        if found == name:
            return begin, size - length
        file.seek(begin - length + size)
    raise ValueError(f"the file has no box {name!r}")
