"""Film with 3:2 pulldown by flags."""

from fractions import Fraction
from itertools import accumulate, cycle, islice, pairwise
from pathlib import Path

import av
import pytest
from helpers.video import Averager, render_frame, times_of

from midframe.media.reading.pulldown import FIELD, even_times
from midframe.video.pipeline import interpolate_video

FRAME = Fraction(1001, 24000)
MILLISECOND = Fraction(1, 1000)


def pulled_down(fields: list[int], count: int = 24) -> list[Fraction]:
    """Times of frames that last a number of fields each, in turn."""
    return [FIELD * each for each in accumulate(islice(cycle(fields), count - 1), initial=0)]


@pytest.mark.parametrize("fields", [[3, 2], [2, 3]])
@pytest.mark.parametrize("tick", [Fraction(1, 90000), MILLISECOND])
def test_film_gets_even_times_that_are_hardly_later(fields: list[int], tick: Fraction) -> None:
    times = [round(time / tick) * tick for time in pulled_down(fields)]
    moved = even_times(times)
    assert list(moved) == times
    assert all(-tick <= new - old <= FIELD / 2 + tick for old, new in moved.items())
    assert all(abs(after - before - FRAME) <= tick for before, after in pairwise(moved.values()))


@pytest.mark.parametrize(
    "fields", [[2], [3], [2, 2, 3], [3, 2, 2, 3, 2], [1], [2, 3, 3, 2], [4, 1]]
)
def test_other_times_are_kept(fields: list[int]) -> None:
    assert even_times(pulled_down(fields)) == {}
    assert even_times(pulled_down([3, 2], 10)) == {}
    assert even_times([]) == {}


def test_only_the_film_within_a_recording_is_moved() -> None:
    film = pulled_down([3, 2], 20)
    video = [film[-1] + 2 * FIELD * number for number in range(2, 20)]
    assert set(even_times(film + video)) <= set(film)
    assert len(even_times(film + video)) >= 19


def test_a_film_with_pulldown_becomes_one_of_a_constant_rate(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = FIELD
        for number, time in enumerate(pulled_down([2, 3])):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            frame.pts, frame.time_base = int(time / FIELD), FIELD
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert (report.frames_kept, report.problems, report.damage) == (24, (), ())
    assert report.worst_error == 0
    (warning,) = report.warnings
    assert warning.startswith("24 frames have 3:2 pulldown")
    steps = {after - before for before, after in pairwise(times_of(tmp_path / "out.mp4"))}
    assert steps == {FRAME / 2}
