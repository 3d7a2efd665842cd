"""The suffixes of files that are searched for in folders, lower case."""

from midframe.media.containers import CONTAINERS

VIDEOS = frozenset(
    (
        *CONTAINERS,
        *(".3g2", ".3gp", ".amv", ".asf", ".divx", ".dv", ".dvr-ms", ".f4v", ".flv", ".gxf"),
        *(".h264", ".hevc", ".ivf", ".m1v", ".m2t", ".m2v", ".mjpeg", ".mjpg", ".mk3d", ".mod"),
        *(".mpe", ".mpeg", ".mpg", ".mpv", ".mxf", ".nut", ".obu", ".ogg", ".ogm", ".ogv", ".qt"),
        *(".rm", ".rmvb", ".tod", ".tp", ".trp", ".vob", ".wmv", ".wtv", ".xvid", ".y4m"),
    )
)
"""Videos. FFmpeg supports more: a file that the user names is opened whatever its suffix."""
ANIMATIONS = (".gif", ".apng")
"""Animations that are read and written."""
PHOTOGRAPHS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
"""Single pictures to train on."""
