"""What a viewer sees of a film: thumbnails at their times, by which a result is compared with its source."""

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.reformatter import Interpolation, VideoReformatter

from midframe.images import Array

THUMBNAIL = (32, 18)
"""Width and height of what is compared of a picture."""


@dataclass(frozen=True)
class Sight:
    """A picture at a time."""

    time: Fraction
    """Seconds."""
    thumbnail: Array
    """(18, 32) grey, uint8."""


def thumbnail(picture: av.VideoFrame) -> Array:
    """Shrink a picture to (18, 32) grey, uint8."""
    width, height = THUMBNAIL
    small = VideoReformatter().reformat(picture, width, height, "gray8", interpolation=Interpolation.AREA)
    result: Array = small.to_ndarray()
    return result
