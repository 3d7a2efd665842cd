"""HEIC files (ISO/IEC 23008-12): one HEVC image, or one of tiles as phones write them."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from midframe.media.pictures.images import Array


def box(name: bytes, *parts: bytes, version: int | None = None, flags: int = 0) -> bytes:
    """A box; with version and flags if a version is given."""
    body = b"".join(parts)
    body = body if version is None else struct.pack(">I", version << 24 | flags) + body
    return struct.pack(">I", 8 + len(body)) + name + body


def encode(image: Array) -> tuple[bytes, bytes]:
    """Return the configuration (hvcC) and the sample of an image."""
    file = io.BytesIO()
    # with B-frames, x265 leaves the dts of a single frame uninitialised
    options = {"x265-params": "log-level=none", "crf": "4", "preset": "ultrafast", "bf": "0"}
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
    """Write an image whose height and width are multiples of the tile's, in rows of tiles.

    Args:
        path: of the file.
        image: (H, W, 3) RGB.
        rotation: quarter turns to the left that a reader applies.
        tile: side of a tile; None for none.
    """
    height, width = image.shape[:2]
    step_y, step_x = (tile, tile) if tile else (height, width)
    tiles = [
        encode(np.ascontiguousarray(image[y : y + step_y, x : x + step_x]))
        for y in range(0, height, step_y)
        for x in range(0, width, step_x)
    ]
    samples = [sample for _, sample in tiles]
    names = [b"hvc1"] * len(tiles) + ([b"grid"] if tile else [])
    grid = struct.pack(">4B2H", 0, 0, height // step_y - 1, width // step_x - 1, width, height)
    boxes = [
        item_names(names),
        *([tile_references(len(tiles))] if tile else []),
        item_properties(tiles[0][0], (step_x, step_y), (width, height), rotation, names),
        box(b"idat", grid),
    ]

    def meta(begin: int) -> bytes:
        return box(
            b"meta",
            box(b"hdlr", bytes(4), b"pict", bytes(13), version=0),
            box(b"pitm", struct.pack(">H", len(names)), version=0),
            item_locations([len(sample) for sample in samples], begin, tiled=bool(tile)),
            *boxes,
            version=0,
        )

    brands = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    begin = len(brands) + len(meta(0)) + 8
    path.write_bytes(brands + meta(begin) + box(b"mdat", *samples))
    return path


def item_names(names: list[bytes]) -> bytes:
    """The types of all items, numbered from 1; tiles are hidden, as no pictures of their own."""
    hidden = 1
    entries = [
        box(
            b"infe",
            struct.pack(">HH", number, 0),
            name,
            b"\0",
            version=2,
            flags=hidden if b"grid" in names[number:] else 0,
        )
        for number, name in enumerate(names, start=1)
    ]
    return box(b"iinf", struct.pack(">H", len(names)), *entries, version=0)


def tile_references(count: int) -> bytes:
    """From the grid, the last item, to the tiles before it."""
    numbers = range(1, count + 1)
    reference = box(b"dimg", struct.pack(f">HH{count}H", count + 1, count, *numbers))
    return box(b"iref", reference, version=0)


def item_properties(
    configuration: bytes,
    tile_size: tuple[int, int],
    size: tuple[int, int],
    rotation: int,
    names: list[bytes],
) -> bytes:
    """Configuration of the decoder, width and height of a tile and of the picture, and rotation,
    numbered from 1; which items have which, with a bit for those that a reader must support."""
    properties = box(
        b"ipco",
        box(b"hvcC", configuration),
        box(b"ispe", struct.pack(">II", *tile_size), version=0),
        box(b"ispe", struct.pack(">II", *size), version=0),
        box(b"irot", bytes([rotation])),
    )
    of_grid, of_tile, of_picture = bytes([3, 0x84]), bytes([0x81, 2]), bytes([0x81, 2, 0x84])
    coded = of_tile if b"grid" in names else of_picture
    used = [of_grid if name == b"grid" else coded for name in names]
    associations = [
        struct.pack(">HB", number, len(each)) + each for number, each in enumerate(used, start=1)
    ]
    associated = box(b"ipma", struct.pack(">I", len(used)), *associations, version=0)
    return box(b"iprp", properties, associated)


def item_locations(sizes: list[int], begin: int, *, tiled: bool) -> bytes:
    """The samples, one after another from a position in the file; the grid is in `idat`."""
    places = [begin + sum(sizes[:number]) for number in range(len(sizes))]
    items = [
        struct.pack(">4H2I", number, 0, 0, 1, place, size)
        for number, (place, size) in enumerate(zip(places, sizes, strict=True), start=1)
    ]
    items += [struct.pack(">4H2I", len(sizes) + 1, 1, 0, 1, 0, 8)] if tiled else []
    return box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *items, version=1)
