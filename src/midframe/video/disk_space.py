"""The disk space that a result needs, checked before the work."""

import shutil
from pathlib import Path

from midframe.errors import VideoError
from midframe.media.writing.encoders import Encoding

BITS_PER_PIXEL = {"ffv1": 6.0, "prores_ks": 1.5}
"""Minimum bits per pixel of encoded frames with common content."""
LOSSY_BITS = 0.02
COPIES = 2
"""The segments, and the file into which they are joined."""


def check_space(folder: Path, encoding: Encoding, frames: float | None) -> None:
    """Check that a disk has the estimated minimum space for a result.

    Args:
        folder: of the result.
        encoding: of its frames.
        frames: number of frames; None if it is unknown.

    Raises:
        VideoError: the disk is too full.
    """
    needed = needed_bytes(encoding, frames or 1)
    disk = shutil.disk_usage(folder)
    free = disk.free
    if disk.total and free < needed:
        raise VideoError(
            f"{folder} has {_readable(free)} free, at least {_readable(needed)} are needed: free "
            "disk space, or choose another place for OUT"
        )


def needed_bytes(encoding: Encoding, frames: float) -> int:
    """Return the minimum disk space in bytes for a number of frames."""
    bits = BITS_PER_PIXEL.get(encoding.encoder, LOSSY_BITS)
    if encoding.colour.high_bit_depth and encoding.encoder == "ffv1":
        bits *= 2
    return round(frames * encoding.width * encoding.height * bits / 8 * COPIES)


def _readable(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
