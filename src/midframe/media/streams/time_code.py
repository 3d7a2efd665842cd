"""SMPTE time codes: the label of the first frame; later frames count up from it.

A time code counts frames at the nominal rate, 30 for 30000/1001. Drop-frame time codes (with a
semicolon before the frames) skip the first labels of every minute except each tenth, so that they
stay in step with the clock.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

LABEL = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})")
DROP_MARKS = ";."
MAX_NOMINAL = 255
"""Frames per second that a time code track of QuickTime can state."""


@dataclass(frozen=True)
class TimeCode:
    """A number of frames from 00:00:00:00."""

    frames: int
    nominal: int
    """Labels per second."""
    drop: bool

    def __str__(self) -> str:
        number = self.frames
        if self.drop:
            tens, rest = divmod(number, self.nominal * 600 - 9 * self._skipped)
            minutes = max(0, rest - self._skipped) // (self.nominal * 60 - self._skipped)
            number += self._skipped * (9 * tens + minutes)
        seconds, frame = divmod(number, self.nominal)
        hours = seconds // 3600 % 24
        minutes = seconds // 60 % 60
        seconds = seconds % 60
        return f"{hours:02}:{minutes:02}:{seconds:02}{';' if self.drop else ':'}{frame:02}"

    @property
    def _skipped(self) -> int:
        """Return the number of labels that are skipped per minute."""
        return self.nominal // 15

    @classmethod
    def parse(cls, text: str, nominal: int) -> "TimeCode | None":
        """Parse a label; return None if it is not valid at this rate."""
        match = LABEL.fullmatch(text.strip())
        if not match or int(match[5]) >= nominal:
            return None
        hours = int(match[1])
        minutes = int(match[2])
        seconds = int(match[3])
        frame = int(match[5])
        drop = match[4] in DROP_MARKS and nominal % 30 == 0
        code = cls(((hours * 60 + minutes) * 60 + seconds) * nominal + frame, nominal, drop)
        if not drop:
            return code
        total = hours * 60 + minutes
        return cls(code.frames - code._skipped * (total - total // 10), nominal, True)


def stated_time_code(*metadata: Mapping[str, str]) -> str | None:
    """Return the time code in the metadata of a file or a stream; None if there is none."""
    named = (
        value
        for each in metadata
        for key, value in each.items()
        if key.lower() == "timecode" and value
    )
    return next(named, None)


def scale_time_code(text: str, source_rate: Fraction, rate: Fraction, start: Fraction) -> str:
    """Return the time code of the first frame of a result.

    Args:
        text: of the first frame of the source.
        source_rate, rate: frames per second of the source and the result.
        start: seconds of the source before the first frame of the result.

    Raises:
        ValueError: it cannot be represented; the text is the reason.
    """
    nominal, wanted = round(source_rate), round(rate)
    code = TimeCode.parse(text, nominal) if nominal else None
    if code is None:
        raise ValueError(f"it is not a valid time code at {float(source_rate):g} frames per second")
    if rate / wanted != source_rate / nominal:
        raise ValueError(
            f"it would not count at the same speed at {float(rate):g} frames per second"
        )
    if wanted > MAX_NOMINAL or (code.drop and wanted % 30):
        raise ValueError(f"there are no such time codes at {float(rate):g} frames per second")
    frames = code.frames + ceil(start * source_rate)
    return str(TimeCode(frames * wanted // nominal, wanted, code.drop))
