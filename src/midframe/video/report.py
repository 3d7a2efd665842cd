"""The report of a video."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from midframe.video.plan import Interval


@dataclass
class VideoReport:
    """The report of a video. Times are in seconds."""

    frames_in: int = 0
    """Frames of the source."""
    frames_kept: int = 0
    """Source frames that are in the result."""
    frames_interpolated: int = 0
    """Frames that the network interpolated, and blends at cuts."""
    frames_held: int = 0
    """Repetitions of source frames: at cuts and at the end."""
    frames_unchanged: int | None = None
    """Source frames that a player shows near their times, found by decoding the result; None if it
    cannot be read."""
    duplicates: int = 0
    """Source frames that were dropped because they duplicate the one before them."""
    captions: int = 0
    """Sets of closed captions that were attached to a frame."""
    cuts: int = 0
    gaps: int = 0
    """Frames that are shown for much longer than others, and are held."""
    worst_error: Fraction = Fraction(0)
    """Largest difference between the time at which a frame is shown and the time of its content,
    except at cuts."""
    length_in: Fraction = Fraction(0)
    """Duration of the source's video, multiplied by the factor of slow motion."""
    length_out: Fraction = Fraction(0)
    """Duration of the result's video in its file."""
    sound_after_video_in: Fraction | None = None
    """Seconds by which the last sound of the source ends after its video, multiplied by the factor
    of slow motion."""
    sound_after_video_out: Fraction | None = None
    """The same for the result in its file."""
    streams: dict[str, int] = field(default_factory=dict)
    """Number of streams of each type in the result, without the video."""
    converted: tuple[str, ...] = ()
    """Converted streams, and their conversion."""
    dropped: tuple[str, ...] = ()
    """Streams and metadata that the result does not have, and the reason."""
    damage: tuple[str, ...] = ()
    """Damaged places of the source, which were bridged."""
    warnings: tuple[str, ...] = ()
    """Properties of the result that a user may not expect."""
    problems: tuple[str, ...] = ()
    """Differences from the source that verification found; empty if there are none."""
    already_complete: bool = False
    """The result was complete before this run, with the same options; all numbers are 0."""

    def count(self, interval: Interval) -> None:
        """Add the frames of a planned interval."""
        actions = [each.action for each in interval.frames]
        self.frames_in += interval.after is not None
        self.frames_kept += actions.count("keep")
        self.frames_held += actions.count("hold")
        self.frames_interpolated += actions.count("interpolate") + actions.count("blend")
        self.captions += sum(each.captions is not None for each in interval.frames)
        self.cuts += interval.type == "cut"
        self.gaps += interval.type == "gap"
        self.worst_error = max(self.worst_error, interval.error)

    @property
    def frames_out(self) -> int:
        return self.frames_kept + self.frames_interpolated + self.frames_held

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; fractions become floats."""
        values = asdict(self) | {"frames_out": self.frames_out}
        return {
            name: float(value) if isinstance(value, Fraction) else value
            for name, value in values.items()
        }


def check_images(paths: Sequence[Path], report: VideoReport, rate: Fraction) -> None:
    """Check that all images of a result exist, and add its length to the report."""
    count = sum(path.is_file() for path in paths)
    report.length_out = count / rate
    if count != report.frames_out:
        report.problems = (f"{count} images instead of {report.frames_out}",)


def frame_warnings(report: VideoReport) -> Iterator[str]:
    """Yield warnings about the numbers of frames."""
    if report.frames_in == 1:
        yield (
            "the source has one frame only, so nothing is interpolated: name a video, a folder of "
            "images, or two images (`midframe image FIRST SECOND`)"
        )
    if report.frames_kept < report.frames_in:
        kept = f"{report.frames_kept} of {report.frames_in} source frames"
        yield (
            f"at the requested frame rate {kept} are kept, and interpolated frames replace the "
            "others: a whole --factor, or --vfr, keeps all"
        )
