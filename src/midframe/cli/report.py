"""The report of a video: on the terminal, and as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import midframe
from midframe.cli.shared import err, out, print_line
from midframe.errors import VideoError
from midframe.outputs import atomic_write, check_output_file

if TYPE_CHECKING:
    from midframe.video.report import VideoReport


def check_report(path: Path, source: Path, target: Path) -> None:
    """Check, before the video is converted, that the report can be written and that it replaces no
    file except an earlier report.

    Raises:
        VideoError: it cannot be written, or another file exists under that path.
    """
    if path.absolute() == target.absolute():
        raise VideoError(f"--report: {path} is the result itself: name another file")
    try:
        check_output_file(path, inputs=[source, target], overwrite=True)
    except VideoError as error:
        raise VideoError(f"--report: {error}") from error
    if path.exists() and path.stat().st_size and not is_report(path):
        raise VideoError(
            f"--report: {path} exists and is not a report of midframe: name another file"
        )


def is_report(path: Path) -> bool:
    """Return whether a file is a report that midframe wrote."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() >= {"frames_in", "frames_out", "problems"}


def write_report(path: Path, report: VideoReport, work: dict[str, Any]) -> None:
    """Write the report of a video as JSON.

    Args:
        path: of the file.
        report: of the result.
        work: names of source and result, and options; they are written before the report.
    """
    content = {"midframe": midframe.__version__, **work, **report.as_json()}
    text = json.dumps(content, indent=2, default=str) + "\n"
    try:
        with atomic_write(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VideoError(
            f"{path} cannot be written ({error.strerror or error}); the result is complete"
        ) from error


def show_report(target: Path, report: VideoReport) -> None:
    """Print the report of a video.

    Raises:
        VideoError: the result failed verification, or the source is damaged.
    """
    from midframe.media.reading.pipes import STREAM

    # the result is in standard output; `--quiet` silences both
    console = err if target == STREAM and not out.quiet else out
    if report.already_complete:
        print_line(console, f"{target} is already complete: it was made with the same options")
        return
    counts = f"{report.frames_kept} kept, {report.frames_interpolated} interpolated, "
    counts += f"{report.frames_held} held, {report.cuts} cuts"
    counts += f", {report.duplicates} duplicates replaced" if report.duplicates else ""
    print_line(console, f"{target}: {report.frames_out} frames from {report.frames_in}: {counts}")
    facts = f"{float(report.length_out):.3f} s (source {float(report.length_in):.3f} s)"
    if report.sound_after_video_out is not None and report.sound_after_video_in is not None:
        exact = (report.sound_after_video_out, report.sound_after_video_in)
        ends = [round(float(each), 3) + 0.0 for each in exact]  # no minus sign before zero
        facts += ", sound ends {:+.3f} s after the video (source {:+.3f} s)".format(*ends)
    print_line(console, f"{facts}, largest timing error {float(report.worst_error) * 1000:.2f} ms")
    for name in report.converted:
        print_line(err, f"midframe: converted: {name}")
    for name in report.dropped:
        print_line(err, f"midframe: dropped: {name}")
    for text in report.warnings:
        print_line(err, f"midframe: warning: {text}")
    for place in report.damage:
        print_line(err, f"midframe: damaged: {place}")
    raise_faults(target, report)


def raise_faults(target: Path, report: VideoReport) -> None:
    """Raise a VideoError if the result failed verification, or the source is damaged."""
    if report.problems:
        raise VideoError(f"{target} failed verification: {'; '.join(report.problems)}")
    if report.damage:
        raise VideoError(
            f"the source is damaged in {_count_places(report)}; {target} is complete, and the "
            "damage is bridged"
        )


def _count_places(report: VideoReport) -> str:
    count = len(report.damage)
    return "one place" if count == 1 else f"{count} places"
