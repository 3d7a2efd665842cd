"""The frames of a stream as they are to be encoded, all of one size and pixel format."""

from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.geometry import Layout, geometry_of
from midframe.media.reading.damage import Damage
from midframe.media.reading.video_file import time_of


class FrameArranger:
    """Crops, rotates and scales the frames of a stream, as far as the result has no tags for that.

    All frames get the size and the pixel format of the first one.

    Args:
        description: of the stream, as FFmpeg prints it.
        stream: the video stream.
        time_base: of its timestamps.
        damage: gets changes of the size.
        holds_matrix, holds_aspect: as in `Layout`.
    """

    def __init__(
        self,
        description: str,
        stream: Any,
        time_base: Fraction,
        damage: Damage,
        *,
        holds_matrix: bool,
        holds_aspect: bool,
    ) -> None:
        self.layout: Layout | None = None
        """Known from the first frame on."""
        self._description = description
        self._stream = stream
        self._time_base = time_base
        self._damage = damage
        self._holds = {"holds_matrix": holds_matrix, "holds_aspect": holds_aspect}
        self._form: dict[str, Any] | None = None
        """Size and pixel format of the first frame."""
        self._size: str | None = None
        """Width and height of the frame before, so that a change is reported once."""

    def arrange(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame as it is to be encoded."""
        if self.layout is None:
            geometry = geometry_of(frame, self._description, self._stream.sample_aspect_ratio)
            self.layout = Layout(geometry, **self._holds)
        arranged = self.layout.applied(frame)
        form = {"width": arranged.width, "height": arranged.height, "format": arranged.format.name}
        self._form = self._form or form
        size, first = (f"{each['width']}x{each['height']}" for each in (form, self._form))
        before, self._size = self._size, size
        if form == self._form:
            return arranged
        if size not in (first, before):
            self._damage.add(
                time_of(frame, self._time_base),
                f"the frame size changes to {size}, scaled to {first}",
            )
        scaled = arranged.reformat(**self._form)
        scaled.pts, scaled.time_base, scaled.duration = (
            arranged.pts,
            arranged.time_base,
            arranged.duration,
        )
        return scaled
