"""Check whether a source with alpha has transparent pixels: only then is something lost in a result
without alpha."""

from itertools import islice

import av

from midframe.errors import VideoError
from midframe.media.colour.conversion import BT470BG, reformat
from midframe.media.reading.source import FrameSource

MAX_EXAMINED = 25
"""Number of frames that are examined; all of GIF and APNG, which are short."""
ANIMATIONS = ("gif", "apng")


def lost_alpha(source: FrameSource) -> str:
    """Describe what a result without alpha loses: "alpha", "" if every frame is opaque, or a text
    that mentions the frames that were not examined.

    Args:
        source: whose frames have alpha; it is opened again, so its position does not change.
    """
    limit = None if source.contents.format in ANIMATIONS else MAX_EXAMINED
    try:
        frames = source.decode_again()
        if frames is None:
            return "alpha"
        opaque = [is_opaque(frame) for frame in islice(frames, limit)]
    except (av.FFmpegError, VideoError):  # reported when the frame is read for the result
        return "alpha"
    if not all(opaque):
        return "alpha"
    if limit is None or len(opaque) < limit:
        return ""
    return f"alpha, if frames after the first {limit} have it"


def is_opaque(frame: av.VideoFrame) -> bool:
    """Return whether all pixels of a frame with alpha or a palette are opaque."""
    rgba = reformat(frame, format="rgba", src_colorspace=BT470BG, dst_colorspace=BT470BG)
    return bool((rgba.to_ndarray()[..., 3] == 255).all())
