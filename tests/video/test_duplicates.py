from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, planes, render_frame, times_of

from midframe.media.reading.source import Frame
from midframe.video.duplicates import MAX_DUPLICATES, drop_duplicates, is_duplicate
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def frames_showing(shown: list[int], cuts: tuple[int, ...] = ()) -> list[Frame]:
    """Render a frame per tick; each shows one of several moments."""
    moments = {n: av.VideoFrame.from_ndarray(render_frame(n), format="rgb24") for n in set(shown)}
    return [Frame(moments[moment], tick, tick in cuts) for tick, moment in enumerate(shown)]


def times(frames: list[Frame]) -> list[Fraction | int]:
    return [frame.pts for frame in drop_duplicates(frames, 1)]


def test_animation_on_twos_keeps_the_first_of_each_pair() -> None:
    assert times(frames_showing([n // 2 for n in range(12)])) == [
        0,
        2,
        4,
        6,
        8,
        10,
        11,
    ]  # the end of the video is kept


def test_frames_with_motion_are_never_duplicates() -> None:
    assert times(frames_showing(list(range(30)))) == list(range(30))


def test_long_static_scenes_keep_all_their_frames() -> None:
    shown = [0, 1, 2, *[3] * (MAX_DUPLICATES + 2), 4, 5]
    assert times(frames_showing(shown)) == list(range(len(shown)))


@pytest.mark.parametrize(("rate", "slower"), [(30, 24), (60, 24), (60, 25), (30, 25)])
def test_a_rate_conversion_by_repeated_frames_is_undone(rate: int, slower: int) -> None:
    shown = [n * slower // rate for n in range(4 * rate)]
    found = times(frames_showing(shown))
    step = Fraction(rate, slower)
    steps = [after - before for before, after in pairwise(found)]
    assert all(abs(each - step) < 0.2 for each in steps[1:-14])
    assert all(abs(time - moment * step) < 1 for moment, time in enumerate(found[:-14]))


def test_animation_on_ones_after_twos_keeps_its_times() -> None:
    shown = [n // 2 for n in range(24)] + list(range(12, 40))
    expected = [*range(0, 24, 2), *range(24, 52)]
    assert times(frames_showing(shown)) == expected


def test_restored_steps_do_not_cross_a_cut() -> None:
    shown = [n * 24 // 30 for n in range(60)]
    found = times(frames_showing(shown, cuts=(31,)))
    assert 31 in found


def test_small_motion_is_no_duplicate_and_weak_noise_is_one() -> None:
    grey = render_frame(0, 120, 160)[..., 0]
    noisy = np.clip(grey + np.random.default_rng(0).integers(-1, 2, grey.shape), 0, 255).astype(
        np.uint8
    )
    moved = grey.copy()
    moved[40:46, 60:66] += 60
    assert is_duplicate(grey, noisy)
    assert not is_duplicate(grey, moved)
    assert not is_duplicate(grey, grey[:60])


def render_twos(path: Path, count: int = 24) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 24, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(render_frame(n // 2 * 2), format="rgb24").reformat(
                format="yuv420p"
            )
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_duplicates_are_replaced_and_the_duration_is_kept(tmp_path: Path) -> None:
    source, target = render_twos(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), codec="ffv1", dedup=True)
    assert (report.frames_out, report.duplicates, report.problems) == (48, 11, ())
    assert abs(report.length_in - 1) < Fraction(1, 1000)
    assert times_of(target) == [Fraction(n, 48) for n in range(48)] or len(times_of(target)) == 48
    luma = [planes(frame)[0] for frame in frames_of(target)]
    for n in range(1, 43):
        before, after = luma[n // 4 * 4], luma[n // 4 * 4 + 4]
        expected = before + (after - before) * (n % 4) / 4
        assert abs(luma[n] - expected).mean() < 1
    plain = interpolate_video(source, tmp_path / "plain.mkv", model=Averager(), codec="ffv1")
    assert plain.duplicates == 0
