"""HEIC files (ISO/IEC 23008-12): one HEVC picture, or one of tiles as phones write them."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from midframe.media.pictures.images import Array


def box(name: bytes, *parts: bytes, version: int | None = None) -> bytes:
    """A box; with version and flags if a version is given."""
    body = b"".join(parts)
    body = body if version is None else struct.pack(">I", version << 24) + body
    return struct.pack(">I", 8 + len(body)) + name + body


def encode(image: Array) -> tuple[bytes, bytes]:
    """The configuration (hvcC) and the sample of a picture."""
    file = io.BytesIO()
    options = {"x265-params": "log-level=none", "crf": "4", "preset": "ultrafast"}
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx265", Fraction(24), options=options)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
        stream.codec_tag = "hvc1"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 24)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    data = file.getvalue()
    place = data.index(b"hvcC")
    (size,) = struct.unpack(">I", data[place - 4 : place])
    with av.open(io.BytesIO(data)) as container:
        sample = bytes(next(packet for packet in container.demux(video=0) if packet.size))
    return data[place + 4 : place - 4 + size], sample


def write_heic(path: Path, image: Array, *, rotation: int = 0, tile: int | None = None) -> Path:
    """Write a picture whose height and width are multiples of the tile's, in rows of tiles.

    Args:
        path: of the file.
        image: (H, W, 3) RGB.
        rotation: quarter turns to the left that a reader applies.
        tile: side of a tile; None for none.
    """
    height, width = image.shape[:2]
    step_y, step_x = (tile, tile) if tile else (height, width)
    rows, columns = height // step_y, width // step_x
    tiles = [
        encode(np.ascontiguousarray(image[y : y + step_y, x : x + step_x]))
        for y in range(0, height, step_y)
        for x in range(0, width, step_x)
    ]
    grid = len(tiles) + 1
    names = [b"hvc1"] * len(tiles) + ([b"grid"] if tile else [])
    sizes = [len(sample) for _, sample in tiles]
    entries = [
        box(b"infe", struct.pack(">HH", number, 0), name, b"\0", version=2)
        for number, name in enumerate(names, start=1)
    ]
    properties = box(
        b"ipco",
        box(b"hvcC", tiles[0][0]),
        box(b"ispe", struct.pack(">II", step_x, step_y), version=0),
        box(b"ispe", struct.pack(">II", width, height), version=0),
        box(b"irot", bytes([rotation])),
    )
    used = [bytes([0x81, 2] if tile else [0x81, 2, 0x84])] * len(tiles)
    used += [bytes([3, 0x84])] if tile else []
    associations = [
        struct.pack(">HB", number, len(each)) + each for number, each in enumerate(used, start=1)
    ]
    references = [box(b"dimg", struct.pack(f">HH{len(tiles)}H", grid, len(tiles), *range(1, grid)))]
    tail = [
        box(b"iinf", struct.pack(">H", len(names)), *entries, version=0),
        *([box(b"iref", *references, version=0)] if tile else []),
        box(
            b"iprp",
            properties,
            box(b"ipma", struct.pack(">I", len(used)), *associations, version=0),
        ),
        box(b"idat", struct.pack(">4B2H", 0, 0, rows - 1, columns - 1, width, height)),
    ]

    def meta(begin: int) -> bytes:
        places = [begin + sum(sizes[:number]) for number in range(len(sizes))]
        items = [
            struct.pack(">4H2I", number, 0, 0, 1, place, size)
            for number, (place, size) in enumerate(zip(places, sizes, strict=True), start=1)
        ]
        items += [struct.pack(">4H2I", grid, 1, 0, 1, 0, 8)] if tile else []
        return box(
            b"meta",
            box(b"hdlr", bytes(4), b"pict", bytes(13), version=0),
            box(b"pitm", struct.pack(">H", len(names)), version=0),
            box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *items, version=1),
            *tail,
            version=0,
        )

    brands = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    begin = len(brands) + len(meta(0)) + 8
    path.write_bytes(brands + meta(begin) + box(b"mdat", *(sample for _, sample in tiles)))
    return path
