"""The suffixes of files that are searched for in folders, lower case."""

from midframe.media.containers import CONTAINERS

VIDEOS = frozenset(
    (*CONTAINERS, ".3gp", ".flv", ".mpeg", ".mpg", ".mxf", ".ogg", ".ogv", ".vob", ".wmv", ".y4m")
)
"""Videos. FFmpeg supports more: a file that the user names is opened whatever its suffix."""
ANIMATIONS = (".gif", ".apng")
"""Animations that are read and written."""
PHOTOGRAPHS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
"""Single pictures to train on."""
