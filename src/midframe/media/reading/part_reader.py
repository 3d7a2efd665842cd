"""Reading the part of a source that is shown, frame by frame."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from midframe.errors import SourceError
from midframe.media.reading.frame_arranger import FrameArranger
from midframe.media.reading.frame_clock import TimedFrame
from midframe.media.reading.scenes import CutDetector
from midframe.media.reading.sights import TimedThumbnail, make_thumbnail
from midframe.media.reading.source import Frame, Part


class PartReader:
    """Selects the frames of a part from those of a source, and counts and observes them.

    Args:
        path: of the source, for messages.
        part: what is shown.
        start: when the first frame of the source is shown, in seconds.
        time_base: of the frames' pts.
    """

    def __init__(self, path: Path, part: Part, start: Fraction, time_base: Fraction) -> None:
        self.path = path
        self.part = part
        self.time_base = time_base
        self.begin = start + Fraction(str(part.start))
        """When the part begins, in seconds."""
        self.until = None if part.end is None else start + Fraction(str(part.end))
        """When it ends; None for the end of the source."""
        self.frames_read = 0
        self.thumbnails: list[TimedThumbnail] = []

    def within(self, times: Iterable[Fraction]) -> list[Fraction]:
        """Return the times that lie in the part."""
        return [
            time
            for time in times
            if self.begin <= time and (self.until is None or time < self.until)
        ]

    def frames(
        self,
        pictures: Iterable[TimedFrame],
        arranger: FrameArranger,
        cuts: CutDetector | None,
        frame_duration: int,
        check_end: Callable[[int | Fraction | None], None],
    ) -> Iterator[Frame]:
        """Yield the frames of the part, arranged.

        Args:
            pictures: of the source, from a frame before the part on, with pts and duration. Cuts
                are looked for in all of them, since a cut may lie just before the part.
            arranger: crops, rotates and scales them.
            cuts: finds cuts; None to find none.
            frame_duration: of a frame that states none, in the time base.
            check_end: called with the pts at which the last picture is no longer shown (None if
                there was no picture), if the part reaches to the end of the source.

        Raises:
            SourceError: the part has no frame.
        """
        end: int | Fraction | None = None
        for picture, pts, duration in pictures:
            end = pts + (duration or frame_duration)
            time = Fraction(pts * self.time_base)
            if self.until is not None and time >= self.until:
                break
            begins_scene = bool(cuts and cuts.begins_scene(picture))
            if time >= self.begin:
                self.frames_read += 1
                arranged = arranger.arrange(picture)
                self.thumbnails.append(TimedThumbnail(time, make_thumbnail(arranged)))
                yield Frame(arranged, pts, begins_scene, duration)
        else:
            check_end(end)
        if not self.frames_read:
            raise SourceError(
                f"{self.path} has no frame after {self.part.start} s: choose an earlier --start"
            )
