"""Metadata of spherical and stereoscopic videos: projection, and arrangement of the two views."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import av

from midframe.media.colour.side_data import side_data_of

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
"""Projections of FFmpeg's AVSphericalMapping that the boxes of an MP4 file can state."""
PROJECTION_NAMES = (
    "equirectangular",
    "cubemap",
    "tiled equirectangular",
    "half equirectangular",
    "rectilinear",
    "fisheye",
)


@dataclass(frozen=True)
class SphericalMetadata:
    """Spherical and stereoscopic metadata of a frame."""

    stereo_3d: tuple[int, ...] | None = None
    """FFmpeg's AVStereo3D as integers; None for 2D video."""
    spherical_mapping: tuple[int, ...] | None = None
    """FFmpeg's AVSphericalMapping as integers; None for flat video."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return descriptions for the report."""
        names = []
        if self.stereo_3d:
            names.append(f"stereo 3D ({_name(STEREO_NAMES, self.stereo_3d[0])})")
        if self.spherical_mapping:
            names.append(f"spherical video ({_name(PROJECTION_NAMES, self.spherical_mapping[0])})")
        return tuple(names)

    @property
    def can_be_stored(self) -> bool:
        """Return whether the MP4 boxes `st3d` and `sv3d` can represent all of it."""
        stereo = self.stereo_3d is None or self.stereo_3d[:2] in STEREO_MODES
        return stereo and (
            self.spherical_mapping is None or self.spherical_mapping[0] <= EQUIRECTANGULAR_TILE
        )


def spherical_metadata_of(picture: av.VideoFrame) -> SphericalMetadata | None:
    """Read the metadata of a decoded frame; None if it has none."""
    found = side_data_of(picture)
    stereo = mapping = None
    if len(found.get("STEREO3D", b"")) >= 36:
        stereo = struct.unpack("<9i", found["STEREO3D"][:36])
    if len(found.get("SPHERICAL", b"")) >= 36:
        mapping = struct.unpack("<4i5I", found["SPHERICAL"][:36])
    if stereo and stereo[0] == 0:  # 2D
        stereo = None
    return SphericalMetadata(stereo, mapping) if stereo or mapping else None


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else "of an unknown layout"
