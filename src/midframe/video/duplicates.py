"""Duplicate frames: animation on twos, films converted to a higher frame rate.

They are dropped, and replaced by interpolated frames. The duration does not change. The remaining
frames keep their times, unless repeated frames have made equal steps uneven, as in films converted
from 24 to 30 frames per second: there the equal steps are restored.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from midframe.media.colour.conversion import grey
from midframe.media.pictures.duplicates import is_duplicate
from midframe.media.pictures.picture import Array
from midframe.media.reading.source import Frame

MAX_DUPLICATES = 4
"""A frame with more duplicates is a still image: all of them are kept."""
RUN_LENGTH = 12
"""Number of consecutive distinct frames (a run) in which the original equal steps are detected."""
MIN_OCCURRENCES = 2
"""Minimum number of shorter and of longer steps in a run of originally equal steps. A single one
may be accidental."""


def drop_duplicates(frames: Iterable[Frame], step: int) -> Iterator[Frame]:
    """Drop the frames that duplicate their predecessor.

    Args:
        frames: of a video, in presentation order.
        step: usual frame duration, in their time base.
    """
    run: list[Frame] = []
    for frame, in_run in _distinct_frames(frames):
        if not in_run:
            yield from _restore_even_steps(run, step)
            run = []
        run.append(frame)
        if len(run) == RUN_LENGTH:
            even = _restore_even_steps(run, step)
            ready = RUN_LENGTH - 1 if even is not run else 1
            yield from even[:ready]
            run = run[ready:]
    yield from _restore_even_steps(run, step)


def _distinct_frames(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Yield the frames that are kept, and whether each continues a run; cuts and still images end
    a run."""
    first: Frame | None = None
    """The latest distinct frame; not yielded yet, unless it is a still image."""
    first_luma: Array | None = None
    duplicates: list[Frame] = []
    """The frames after `first` that duplicate it and are not yielded."""
    in_run = is_still_image = False
    for frame in frames:
        luma = grey(frame.picture)
        if first_luma is not None and not frame.begins_scene and is_duplicate(first_luma, luma):
            duplicates.append(frame)
            if not is_still_image and len(duplicates) > MAX_DUPLICATES:
                is_still_image = True
                assert first, "it has a luma"
                yield first, False
            if is_still_image:
                yield from ((each, False) for each in duplicates)
                duplicates = []
            continue
        if first and not is_still_image:
            yield first, in_run
        in_run = first is not None and not is_still_image and not frame.begins_scene
        first = frame
        first_luma = luma
        duplicates = []
        is_still_image = False
    if first and not is_still_image:
        yield first, in_run
    # the last frame is shown to the end of the video, so its duplicates are kept
    yield from ((each, False) for each in duplicates)


def _restore_even_steps(run: list[Frame], step: int) -> list[Frame]:
    """Return a run with equal steps if its times result from repeated frames, otherwise the run
    itself."""
    gaps = Counter(round((after.pts - before.pts) / step) for before, after in pairwise(run))
    if len(gaps) != 2 or min(gaps.values()) < MIN_OCCURRENCES:
        return run
    begin = Fraction(run[0].pts)
    even_step = Fraction(run[-1].pts - run[0].pts, len(run) - 1)
    even = [begin + even_step * number for number in range(len(run))]
    if any(abs(frame.pts - time) >= step for frame, time in zip(run, even, strict=True)):
        return run
    return [replace(frame, pts=time) for frame, time in zip(run, even, strict=True)]
