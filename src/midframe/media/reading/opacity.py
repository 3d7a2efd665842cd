"""Check whether a source with alpha has pixels that are not opaque: only then does a result without
alpha lose any."""

from itertools import islice

import av
from av.video.reformatter import VideoReformatter

from midframe.errors import VideoError
from midframe.media.colour.conversion import BT470BG
from midframe.media.reading.source import FrameSource

EXAMINED = 25
"""Number of frames that are examined; of GIF and APNG, which are short, all."""
ANIMATIONS = ("gif", "apng")


def lost_alpha(source: FrameSource) -> str:
    """What is lost if alpha is dropped: "alpha", "" if every frame is opaque, or words for frames
    not examined.

    Args:
        source: one whose frames have alpha; its own reading is not disturbed.
    """
    limit = None if source.contents.format in ANIMATIONS else EXAMINED
    try:
        frames = source.decode_again()
        if frames is None:
            return "alpha"
        opaque = [is_opaque(frame) for frame in islice(frames, limit)]
    except (av.FFmpegError, VideoError):  # reported when the frame is read for the result
        return "alpha"
    if not all(opaque):
        return "alpha"
    return (
        ""
        if limit is None or len(opaque) < limit
        else f"alpha, if frames after the first {limit} have it"
    )


def is_opaque(frame: av.VideoFrame) -> bool:
    """Return whether all pixels of a frame with alpha or a palette are opaque."""
    rgba = VideoReformatter().reformat(
        frame, format="rgba", src_colorspace=BT470BG, dst_colorspace=BT470BG
    )
    return bool((rgba.to_ndarray()[..., 3] == 255).all())
