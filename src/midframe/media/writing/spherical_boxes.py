"""The boxes `st3d` and `sv3d` of MP4 and QuickTime files, for spherical and stereoscopic videos
(Google, Spherical Video V2 RFC).

FFmpeg's muxers write them from side data of a stream, which PyAV cannot set. So the boxes are
inserted into a template: an MP4 file of one encoded frame, in memory. The stream that FFmpeg reads
from it has the side data, and the result's stream is created from this template.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import av

from midframe.media.colour.spherical import CUBEMAP, STEREO_MODES, SphericalMetadata
from midframe.media.writing.encoders import Encoding

SAMPLE_ENTRY = 78
"""Bytes of a visual sample entry before its boxes, after its header (ISO/IEC 14496-12, 12.1.3)."""
PARAMETER_SETS = ("h264", "hevc")
"""Codecs whose parameter sets a muxer reads from the first packet."""
PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
"""The nested boxes that contain the sample entry."""


@dataclass(frozen=True)
class Template:
    """The template of the video stream of a result."""

    container: Any
    """An open container with one stream, which has the side data."""
    extradata: bytes | None
    """Of the encoder, for the result's stream."""

    @property
    def stream(self) -> Any:
        return self.container.streams.video[0]


def template_of(encoding: Encoding, metadata: SphericalMetadata) -> Template:
    """Create a template for the video stream of a result.

    Args:
        encoding: of the result.
        metadata: metadata to store.

    Raises:
        av.FFmpegError, ValueError: MP4 does not support the codec.
    """
    blank = av.VideoFrame(encoding.width, encoding.height, encoding.pixel_format)
    for plane in blank.planes:
        plane.update(bytes(plane.buffer_size))
    blank.pts = 0
    blank.time_base = encoding.time_base
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
        packet.duration = 1
        packet.is_keyframe = True
        packet.time_base = encoding.time_base
        packet.stream = stream
        container.mux(packet)
    return Template(
        av.open(BytesIO(_with_boxes(file.getvalue(), boxes_of(metadata)))), encoder.extradata
    )


def boxes_of(metadata: SphericalMetadata) -> bytes:
    """Return the boxes `st3d` and `sv3d`."""
    boxes = b""
    if metadata.stereo_3d:
        boxes += _box(
            b"st3d", bytes(4), bytes([STEREO_MODES[metadata.stereo_3d[0], metadata.stereo_3d[1]]])
        )
    if metadata.spherical_mapping:
        projection, yaw, pitch, roll, left, top, right, bottom, padding = metadata.spherical_mapping
        pose = _box(b"prhd", bytes(4), struct.pack(">3i", yaw, pitch, roll))
        equirectangular = _box(b"equi", bytes(4), struct.pack(">4I", top, bottom, left, right))
        shape = (
            _box(b"cbmp", bytes(4), struct.pack(">2I", 0, padding))
            if projection == CUBEMAP
            else equirectangular
        )
        boxes += _box(b"sv3d", _box(b"svhd", bytes(4), b"midframe\0"), _box(b"proj", pose, shape))
    return boxes


def _box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + name + content


def _with_boxes(file: bytes, boxes: bytes) -> bytes:
    """Return an MP4 file, whose `moov` box comes last, with boxes appended to its first sample
    entry."""
    data = bytearray(file)
    begin = 0
    end = len(file)
    sizes = []
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
    """Return the start and the end of the content of a box."""
    while begin < end:
        size, found = struct.unpack_from(">I4s", data, begin)
        if found == name:
            return begin + 8, begin + size
        begin += max(size, 8)
    raise ValueError(f"the file has no box {name!r}")


def hide_apple_boxes(path: Path) -> None:
    """Replace the box `vexu` of a finished MP4 or QuickTime file by a `free` box.

    FFmpeg writes it besides `st3d` and `sv3d`, without the arrangement of packed views and the
    pose; its demuxer prefers it to them.
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
    """Return the start and the size of the content of a top-level box."""
    file.seek(0)
    while len(header := file.read(16)) >= 8:
        size, found = struct.unpack(">I4s", header[:8])
        length = 8
        if size == 1:  # the size is in 64 bits, after the name
            size = struct.unpack(">Q", header[8:])[0]
            length = 16
        begin = file.tell() - len(header) + length
        if found == name:
            return begin, size - length
        file.seek(begin - length + size)
    raise ValueError(f"the file has no box {name!r}")
