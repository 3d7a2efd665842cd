"""Check that a source was decoded completely: frames that decoders drop silently, and streams that
end early."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from midframe.media.reading.damage import Damage
from midframe.media.reading.survey import Survey
from midframe.media.reading.video_file import stated_end

ONE_FRAME_PER_PACKET = frozenset(("h264", "hevc", "av1", "prores", "dnxhd", "mjpeg", "ffv1"))
"""Codecs with exactly one displayed frame per packet."""
MAX_MISSING = 0.1
"""Largest fraction of packets without a frame that is attributed to damage."""
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
    decoded = {round(time / time_base) for time in shown}
    missing = [time for time in survey.times if round(time / time_base) not in decoded]
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
    stated = stated_end(stream)
    if stated is None or survey.jumps:  # the file states it by a clock that restarts
        return
    missing = float(stated + survey.shift - max(end, survey.end or Fraction(0)))
    if missing > max(MISSING_SECONDS, float(2 / rate)):
        damage.add(
            end, f"the video stream ends {missing:.1f} s before the end that the file states"
        )
