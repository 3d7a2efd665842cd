"""Selection of the frames in the requested part of a source."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from midframe.errors import SourceError
from midframe.media.reading.frame_arranger import FrameArranger
from midframe.media.reading.frame_clock import TimedFrame
from midframe.media.reading.scenes import CutDetector
from midframe.media.reading.source import Frame, Part
from midframe.media.reading.thumbnails import TimedThumbnail, make_thumbnail


class PartReader:
    """Selects the frames of a part of a source, counts them and records their thumbnails.

    Args:
        path: of the source, for messages.
        part: to select.
        start: time of the first frame of the source, in seconds.
        time_base: of the frames' pts.
        cut_threshold: as in `VideoReader`.
    """

    def __init__(
        self,
        path: Path,
        part: Part,
        start: Fraction,
        time_base: Fraction,
        cut_threshold: float | None,
    ) -> None:
        self.path = path
        self.part = part
        self.time_base = time_base
        self.cut_threshold = cut_threshold
        self.begin = start + Fraction(str(part.start))
        """Start of the part, in seconds."""
        self.until = None if part.end is None else start + Fraction(str(part.end))
        """End of the part, in seconds; None for the end of the source."""
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
        frame_duration: int,
        check_end: Callable[[int | Fraction | None], None],
    ) -> Iterator[Frame]:
        """Yield the frames of the part, in the common size and pixel format.

        Args:
            pictures: of the source, starting before the part. All of them pass the cut detector,
                which compares successive frames.
            arranger: crops, rotates and scales them.
            frame_duration: of frames without a duration, in the time base.
            check_end: called with the end of the last frame as pts (None if there was no frame), if
                the part extends to the end of the source.

        Raises:
            SourceError: the part has no frame.
        """
        cuts = CutDetector(self.cut_threshold) if self.cut_threshold else None
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
                f"{self.path} has no frame after {self.part.start:.12g} s: "
                "choose an earlier --start"
            )
