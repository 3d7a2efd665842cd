"""Check that a source was decoded completely: frames that decoders drop silently, and streams that
end early."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.media.pixel_formats import bit_depth
from midframe.media.reading.damage import Damage
from midframe.media.reading.survey import Survey
from midframe.media.reading.video_file import UNKNOWN_DURATION, stated_end, stated_end_of_file

ONE_FRAME_PER_PACKET = frozenset(("h264", "hevc", "av1", "prores", "dnxhd", "mjpeg", "ffv1"))
"""Codecs with exactly one displayed frame per packet."""
MAX_MISSING = 0.1
"""Largest fraction of packets without a frame that is attributed to damage."""
UNKNOWN_TOLERANCE = 1.0
"""Seconds by which a missing duration may differ from the unknown one of MP4."""
Y4M_SIGNATURE = b"YUV4MPEG2 "
Y4M_HEADERS = 1024
"""Bytes that contain the headers of a y4m stream and of its first frame."""
MISSING_SECONDS = 0.5
"""A stream that ends more than this many seconds before its stated end is truncated."""


def check_frames(
    damage: Damage, survey: Survey, shown: Sequence[Fraction], time_base: Fraction, rate: Fraction
) -> None:
    """Report frames that a decoder dropped without an error, of a codec in `ONE_FRAME_PER_PACKET`.

    Args:
        damage: to which they are added.
        survey: of the file, with the times of its packets.
        shown: times of the frames that were decoded, in seconds.
        time_base: of the stream.
        rate: frames per second.
    """
    if len(shown) >= len(survey.times):  # some decoders return frames in another order
        return
    decoded = {round(time / time_base) for time in shown}
    missing = [time for time in survey.times if round(time / time_base) not in decoded]
    leading = [time for time in missing if time < min(shown, default=time)]
    if leading:
        count = "frame" if len(leading) == 1 else f"{len(leading)} frames"
        damage.add(leading[0], f"the first {count} cannot be decoded (no key frame precedes)")
        missing = missing[len(leading) :]
    # many: packets of single fields, or timestamps that a decoder corrects
    if len(missing) > MAX_MISSING * len(survey.times):
        return
    known = list(damage.times)
    step = 1 / rate
    for time in missing:
        if all(abs(time - each) > step for each in known):
            damage.add(time, "a frame cannot be decoded")


def check_end(damage: Damage, survey: Survey, stream: Any, end: Fraction, rate: Fraction) -> None:
    """Report a stream that ends before the end that its file states.

    Args:
        damage: to which it is added.
        survey: of the file.
        stream: the video stream.
        end: end of the last decoded frame, in seconds.
        rate: frames per second.
    """
    if survey.jumps:  # the file states its end by a clock that restarts
        return
    stated, last = stated_end(stream), max(end, survey.end or Fraction(0))
    # the end of a file is that of its longest stream, which in a pipe is not known
    if stated is None and (survey.spans or len(stream.container.streams) == 1):
        stated = stated_end_of_file(stream.container)
        last = max([last, *(span.end for span in survey.spans.values())])
    if stated is None:
        return
    missing = float(stated + survey.shift - last)
    if abs(missing - float(UNKNOWN_DURATION * (stream.time_base or 0))) < UNKNOWN_TOLERANCE:
        return  # FFmpeg added fragments of an MP4 to a duration that is unknown
    if missing > max(MISSING_SECONDS, float(2 / rate)):
        damage.add(
            end, f"the video stream ends {missing:.1f} s before the end that the file states"
        )


def check_y4m(damage: Damage, path: Path, frame: av.VideoFrame, end: Fraction) -> None:
    """Report a y4m file that ends within a frame.

    Args:
        damage: to which it is added.
        path: of the file.
        frame: a decoded frame.
        end: end of the last decoded frame, in seconds.
    """
    with path.open("rb") as file:
        begin = file.read(Y4M_HEADERS)
    if y4m_is_truncated(begin, path.stat().st_size, frame):
        damage.add(end, "the file ends within a frame")


def y4m_is_truncated(begin: bytes, count: int, frame: av.VideoFrame) -> bool:
    """Return whether a stream is y4m and ends within a frame, as after a failure of its writer;
    FFmpeg drops such a frame without an error.

    Args:
        begin: the first bytes of the stream.
        count: number of its bytes.
        frame: a decoded frame.
    """
    header = begin.find(b"\n") + 1
    frame_header = begin.find(b"\n", header) + 1 - header
    if not begin.startswith(Y4M_SIGNATURE) or frame_header <= 0:
        return False
    sample_bytes = (bit_depth(frame.format) + 7) // 8
    samples = sum(plane.width * plane.height for plane in frame.planes)
    return bool((count - header) % (frame_header + samples * sample_bytes))
