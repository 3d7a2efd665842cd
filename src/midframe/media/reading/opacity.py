"""Whether a source with alpha has pixels that are not opaque: only then does a result without alpha
lose any."""

from collections.abc import Iterator
from itertools import islice

import av
from av.video.reformatter import VideoReformatter

from midframe.errors import VideoError
from midframe.media.colour.conversion import BT709
from midframe.media.reading.image_sequence import ArrayReader
from midframe.media.reading.pipes import PipeReader
from midframe.media.reading.reader import VideoReader

EXAMINED = 25
"""Frames that are decoded for it; of GIF and APNG, which are short, all."""
ANIMATIONS = ("gif", "apng")


def lost_alpha(reader: VideoReader) -> str:
    """What is lost if alpha is dropped: "alpha", "" if every frame is opaque, or words for frames
    not examined.

    Args:
        reader: of a source whose frames have alpha; it is not read from.
    """
    if isinstance(reader, PipeReader):
        return "alpha"
    limit = None if reader.container.format.name in ANIMATIONS else EXAMINED
    try:
        opaque = [is_opaque(frame) for frame in islice(_frames(reader), limit)]
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
    """Whether all pixels of a frame with alpha or a palette are opaque."""
    rgba = VideoReformatter().reformat(
        frame, format="rgba", src_colorspace=BT709, dst_colorspace=BT709
    )
    return bool((rgba.to_ndarray()[..., 3] == 255).all())


def _frames(reader: VideoReader) -> Iterator[av.VideoFrame]:
    """The frames of a source, from its start, in a container of their own."""
    if isinstance(reader, ArrayReader):
        yield from reader.decoded()
        return
    with VideoReader(reader.path) as another:
        yield from (frame.picture for frame in another.read())
