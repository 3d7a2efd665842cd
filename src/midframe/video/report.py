"""What became of a video, and the proof that the result is whole: it is read again, and counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from midframe.video.reader import open_video

SOUND_TOLERANCE = Fraction(1, 1000)
"""Seconds: Matroska counts in milliseconds."""
STRETCHED_TOLERANCE = Fraction(1, 10)
"""Seconds by which sound that is encoded anew may end earlier or later: a window of `atempo` and a packet."""


@dataclass
class VideoReport:
    """What became of a video. Times are in seconds."""

    frames_in: int = 0
    """Of the source."""
    frames_kept: int = 0
    """Source frames that are shown."""
    frames_made: int = 0
    """By the network, and blended at cuts."""
    frames_held: int = 0
    """Source frames shown once more: at cuts and at the end."""
    frames_repeated: int = 0
    """Source frames that were taken out because they repeat the one before them."""
    cuts: int = 0
    gaps: int = 0
    """Frames that stood still for much longer than others, and are held instead of moved."""
    worst_error: Fraction = Fraction(0)
    """By which what a frame shows differs at most from what it should, beside cuts."""
    length_in: Fraction = Fraction(0)
    """Of the source's picture, times how much longer the result is to be."""
    length_out: Fraction = Fraction(0)
    """Of the result's picture, as its file has it."""
    sound_after_picture_in: Fraction | None = None
    """By which the last sound of the source ends after its picture, times how much longer the result is to be."""
    sound_after_picture_out: Fraction | None = None
    """The same of the result, as its file has it."""
    streams: dict[str, int] = field(default_factory=dict)
    """How many of each kind the result has beside the picture."""
    converted: tuple[str, ...] = ()
    """Streams that are not passed on as they are, and what becomes of them."""
    left_out: tuple[str, ...] = ()
    """Streams that the result does not have, and why."""
    problems: tuple[str, ...] = ()
    """What is wrong with the result; nothing should be."""
    already_complete: bool = False
    """A run before this one has made the result with the same settings; nothing was done, and nothing is counted."""

    @property
    def frames_out(self) -> int:
        return self.frames_kept + self.frames_made + self.frames_held

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts alone."""
        values = asdict(self) | {"frames_out": self.frames_out}
        return {name: float(value) if isinstance(value, Fraction) else value for name, value in values.items()}


@dataclass(frozen=True)
class Contents:
    """What a file holds, by its packets."""

    frames: int
    times: int
    """At which frames are shown: as many as there are frames, if none hides another."""
    begin: Fraction
    end: Fraction
    sound_end: Fraction | None
    streams: dict[str, int]


def check_result(path: Path, report: VideoReport, carried: dict[str, int], rate: Fraction, *, stretched: bool) -> None:
    """Read a result again and see that it has all it should; what it has goes into the report, and what it lacks.

    Args:
        path: of the result.
        report: of the work, which says what the file should hold.
        carried: how many streams of each kind were to be carried over.
        rate: frames a second of the result.
        stretched: sound was encoded anew.
    """
    found = read_contents(path, 1 / rate)
    report.length_out, report.streams = found.end - found.begin, found.streams
    problems = []
    if (found.frames, found.times) != (report.frames_out, report.frames_out):
        problems.append(f"{found.frames} frames at {found.times} times instead of {report.frames_out}")
    if abs(report.length_out - report.length_in) > 1 / rate + SOUND_TOLERANCE:
        problems.append(
            f"the picture lasts {float(report.length_out):.3f} s instead of {float(report.length_in):.3f} s"
        )
    if found.streams != carried:
        problems.append(f"it has {found.streams} beside the picture instead of {carried}")
    if found.sound_end is not None and report.sound_after_picture_in is not None:
        report.sound_after_picture_out = found.sound_end - found.end
        moved = abs(report.sound_after_picture_out - report.sound_after_picture_in)
        if moved > 1 / rate + (STRETCHED_TOLERANCE if stretched else SOUND_TOLERANCE):
            problems.append(f"sound ends {float(moved):.3f} s from where it should beside the picture")
    report.problems = tuple(problems)


def check_pictures(paths: Sequence[Path], report: VideoReport, rate: Fraction) -> None:
    """See that all pictures of a result are there; what there is goes into the report."""
    there = sum(path.is_file() for path in paths)
    report.length_out = there / rate
    if there != report.frames_out:
        report.problems = (f"{there} pictures instead of {report.frames_out}",)


def read_contents(path: Path, frame_duration: Fraction) -> Contents:
    """Read all packets of a file; a frame that does not say how long it is shown is shown for `frame_duration`."""
    begins: list[Fraction] = []
    end, sound_end = Fraction(0), None
    with open_video(path) as container:
        picture: Any = container.streams.video[0]
        others = [s for s in container.streams if s is not picture and s.type in ("audio", "subtitle", "video")]
        sounds = [stream for stream in others if stream.type == "audio"]
        counted = container.format.name == "avi"  # it has no times, and FFmpeg guesses late ones
        for packet in container.demux([picture, *sounds]):
            pts = packet.dts if counted else packet.pts
            if pts is None:
                continue
            begin, last = pts * packet.time_base, (pts + (packet.duration or 0)) * packet.time_base
            if packet.stream is picture:
                begins.append(begin)
                end = max(end, last if packet.duration else begin + frame_duration)
            else:
                sound_end = max(last, sound_end or last)
        kinds = dict(Counter(stream.type for stream in others))
    return Contents(len(begins), len(set(begins)), min(begins, default=end), end, sound_end, kinds)
