from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import (
    SHARED,
    Averager,
    Breaker,
    First,
    Packets,
    Render,
    check_refused,
    frames_of,
    planes,
    times_of,
)

from midframe.errors import MidframeError
from midframe.video.pipeline import interpolate_video


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_every_frame_is_shown_at_its_time(
    render_video: Render, tmp_path: Path, factor: int
) -> None:
    source, target = render_video(frames=6), tmp_path / "out.mp4"
    report = interpolate_video(source, target, factor=factor, model=Averager())
    shown = frames_of(target)
    assert (report.frames_in, report.frames_kept, report.frames_interpolated) == (
        6,
        6,
        5 * (factor - 1),
    )
    assert (report.frames_held, report.problems) == (factor - 1, ())
    assert len(shown) == report.frames_out == 6 * factor
    assert [frame.pts * frame.time_base for frame in shown] == [
        Fraction(1001, 24000 * factor) * n for n in range(6 * factor)
    ]


def test_sound_is_copied_packet_by_packet(
    render_video: Render, packets: Packets, tmp_path: Path
) -> None:
    source, target = render_video(frames=40), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager())
    assert packets(target, "audio") == packets(source, "audio")
    assert len(packets(source, "audio")) > 50


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_the_duration_is_kept_and_video_and_sound_stay_in_sync(
    render_video: Render, packets: Packets, tmp_path: Path, name: str
) -> None:
    source, target = render_video(frames=30), tmp_path / name
    interpolate_video(source, target, model=Averager())
    lengths, leads = [], []
    for path in (source, target):
        picture, sound = packets(path, "video"), packets(path, "audio")
        begin = min(pts for _, pts, _ in picture)
        lengths.append(max(pts + duration for _, pts, duration in picture) - begin)
        leads.append(
            begin - sound[0][1]
        )  # Matroska moves everything, so that nothing comes before 0
    tolerance = (
        Fraction(1, 500) if name == "out.mkv" else Fraction(1, 10**5)
    )  # Matroska counts in milliseconds
    assert abs(lengths[0] - lengths[1]) <= tolerance
    assert abs(leads[0] - leads[1]) <= tolerance


def test_source_frames_are_kept(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=8, sound=False), tmp_path / "out.mkv"
    interpolate_video(source, target, model=Averager(), codec="ffv1")
    for before, after in zip(frames_of(source), frames_of(target)[::2], strict=True):
        for expected, got in zip(planes(before), planes(after), strict=True):
            assert np.array_equal(expected, got)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("height", [64, 720])
def test_interpolated_frames_have_the_colours_of_their_neighbours(
    render_video: Render, tmp_path: Path, pixel_format: str, height: int
) -> None:
    still = render_video(
        frames=3, size=(height, 96), sound=False, pixel_format=pixel_format, pts=[0, 1, 2]
    )
    shown = frames_of(still)
    target = tmp_path / "out.mkv"
    interpolate_video(still, target, model=First(), codec="ffv1")
    results = frames_of(target)
    assert results[1].format.name == pixel_format
    for expected, got in zip(planes(shown[0]), planes(results[1]), strict=True):
        assert abs(expected.mean() - got.mean()) < 0.5


def test_a_cut_repeats_the_frame_before_it(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=10, cut_at=5, sound=False), tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), codec="ffv1")
    assert (report.cuts, report.frames_held) == (1, 2)
    shown = [planes(frame)[0] for frame in frames_of(target)]
    assert np.array_equal(shown[9], shown[8])
    assert not np.array_equal(shown[7], shown[6])
    assert (
        interpolate_video(source, target, model=Averager(), cut_threshold=0, overwrite=True).cuts
        == 0
    )


def test_intervals_of_a_variable_rate_are_halved(render_video: Render, tmp_path: Path) -> None:
    source = render_video("in.mkv", frames=4, rate=Fraction(100), sound=False, pts=[0, 10, 14, 40])
    target = tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager(), vfr=True)
    assert times_of(target)[:7] == [Fraction(each, 100) for each in (0, 5, 10, 12, 14, 27, 40)]


def test_variable_frame_times_become_equal_steps(render_video: Render, tmp_path: Path) -> None:
    source, target = (
        render_video("in.mkv", frames=4, sound=False, pts=[0, 10, 14, 40]),
        tmp_path / "out.mkv",
    )
    interpolate_video(source, target, model=Averager(), fps="50", codec="ffv1")
    shown = times_of(target)
    assert shown == [Fraction(n, 50) for n in range(len(shown))]
    assert len(shown) == round(41 * Fraction(1001, 24000) * 50)


@pytest.mark.parametrize(
    ("options", "count", "rate"),
    [
        ({"fps": "60"}, 60, Fraction(60)), ({"fps": "60000/1001"}, 60, Fraction(60000, 1001)),
        ({"factor": 3}, 72, Fraction(72000, 1001)), ({"slow": 2.5}, 60, Fraction(24000, 1001)),
        ({"fps": "12"}, 13, Fraction(12)), ({"factor": 1}, 24, Fraction(24000, 1001)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_any_frame_rate_can_be_requested(
    render_video: Render, tmp_path: Path, name: str, options: dict, count: int, rate: Fraction
) -> None:
    source, target = render_video(frames=24), tmp_path / name
    report = interpolate_video(source, target, model=Averager(), **options)
    shown = times_of(target)
    assert len(shown) == report.frames_out
    assert not report.problems
    assert abs(len(shown) - count) <= 1
    assert shown == [shown[0] + n / rate for n in range(len(shown))]
    assert report.worst_error <= Fraction(1001, 24000) / 32 * Fraction(str(options.get("slow", 1)))


def test_frames_at_any_time_show_the_content_of_that_time(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=9, sound=False), tmp_path / "out.mkv"
    interpolate_video(source, target, model=Averager(), factor=3, codec="ffv1")
    before, results = frames_of(source), frames_of(target)
    for index, frame in enumerate(results[:24]):
        low, fraction = divmod(Fraction(index, 3), 1)
        first, second, shown = (planes(each)[0] for each in (before[low], before[low + 1], frame))
        expected = first + (second - first) * round(fraction * 16) / 16
        assert abs(shown - expected).mean() < 1.0


@pytest.mark.slow
def test_ten_minutes_at_another_rate_end_with_their_sound(
    render_video: Render, packets: Packets, tmp_path: Path
) -> None:
    source, target = render_video(frames=600, rate=Fraction(1), size=(16, 16)), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager(), fps="30000/1001")
    ends = [
        max(pts + duration for _, pts, duration in packets(target, kind))
        for kind in ("video", "audio")
    ]
    assert abs(ends[0] - 600) <= Fraction(1001, 30000)
    assert abs(ends[1] - 600) <= Fraction(1024, 48000) * 2


@pytest.mark.parametrize(
    ("cut", "shown"), [("hold", [0, 0, 0]), ("nearest", [0, 0, 1]), ("blend", [0.25, 0.5, 0.75])]
)
def test_the_cut_option_determines_the_frames_across_a_cut(
    render_video: Render, tmp_path: Path, cut: str, shown: list[float]
) -> None:
    source, target = render_video(frames=4, cut_at=2, sound=False), tmp_path / "out.mkv"
    interpolate_video(source, target, model=First(), factor=4, cut=cut, codec="ffv1")
    results = [planes(frame)[0] for frame in frames_of(target)]
    for fraction, luma in zip(shown, results[5:8], strict=True):
        assert abs(luma - (results[4] * (1 - fraction) + results[8] * fraction)).mean() < 1.0


def test_odd_frame_sizes_are_kept(render_video: Render, tmp_path: Path) -> None:
    source = render_video(
        "in.mkv", frames=3, size=(63, 95), codec="ffv1", pixel_format="yuv420p", sound=False
    )
    interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert (
        frames_of(tmp_path / "out.mp4")[0].height,
        frames_of(tmp_path / "out.mp4")[0].width,
    ) == (63, 95)


def test_rotation_aspect_ratio_and_titles_are_kept(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=3, rotation=90), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager())
    assert frames_of(target)[0].rotation == frames_of(source)[0].rotation != 0


@pytest.mark.skipif(
    not (SHARED / "seed" / "juggle.mp4").exists(), reason="the shared data is not here"
)
def test_a_real_video_keeps_its_sound_duration_and_aspect_ratio(
    packets: Packets, tmp_path: Path
) -> None:
    source, target = SHARED / "seed" / "juggle.mp4", tmp_path / "out.mp4"
    report = interpolate_video(source, target, model=Averager())
    assert (report.frames_in, report.frames_out) == (123, 246)
    assert packets(target, "audio") == packets(source, "audio")
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert new.streams.video[0].sample_aspect_ratio == old.streams.video[0].sample_aspect_ratio
        assert new.streams.video[0].average_rate == Fraction(48000, 1001)
        assert abs(new.duration - old.duration) < 1001 * av.time_base / 48000


def test_unusable_input_is_refused_and_leaves_no_files(
    render_video: Render, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    sound = render_video("sound.m4a", picture=False, frames=24)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    check_refused(tmp_path / "missing.mp4", tmp_path / "out.mp4", "missing.mp4 does not exist")
    check_refused(text, tmp_path / "out.mp4", "text.mp4 cannot be opened")
    check_refused(empty, tmp_path / "out.mp4", "empty.mp4 cannot be opened")
    check_refused(sound, tmp_path / "out.mp4", r"no video stream \(only audio\)")


def truncate(whole: Path, fraction: float) -> Path:
    """Write the first bytes of a video whose index is at its beginning."""
    fast = whole.with_name(f"fast-{whole.name}")
    with (
        av.open(str(whole)) as old,
        av.open(str(fast), "w", container_options={"movflags": "+faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    cut = whole.with_name(f"cut-{whole.name}")
    cut.write_bytes(fast.read_bytes()[: int(fast.stat().st_size * fraction)])
    return cut


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
def test_the_intact_part_of_a_truncated_video_is_converted_and_damage_is_reported(
    render_video: Render, tmp_path: Path, name: str, fraction: float
) -> None:
    cut = truncate(render_video(name, frames=120, sound=False), fraction)
    report = interpolate_video(cut, tmp_path / "out.mp4", model=Averager())
    assert report.damage
    assert report.problems == ()
    assert 0 < report.frames_kept < 120
    check_refused(
        cut, tmp_path / "strict.mp4", "is damaged: .* at .* s; without --strict", strict=True
    )


def test_unusable_output_is_refused_and_leaves_no_files(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=3)
    there = tmp_path / "there.mp4"
    there.write_text("mine")
    check_refused(source, tmp_path / "nowhere" / "out.mp4", "is not a folder")
    check_refused(source, Path("/proc/out.mp4"), "/proc/out.mp4 cannot be written")
    check_refused(source, tmp_path / "out.xyz", "choose a name that ends in")
    check_refused(source, tmp_path / "out.mp4", "no video codec 'h999'.*h264", codec="h999")
    check_refused(source, tmp_path / "out.mp4", "is not a video codec", codec="aac")
    check_refused(source, tmp_path / "out.webm", ".webm files cannot hold h264", codec="h264")
    check_refused(source, there, "there.mp4 exists")
    check_refused(source, source, "is the source itself", overwrite=True)
    check_refused(source, tmp_path / "out.mp4", "factor is 0", error=ValueError, factor=0)
    check_refused(source, tmp_path / "out.mp4", "cut is 'melt'", error=ValueError, cut="melt")
    assert there.read_text() == "mine"


def test_a_failure_during_the_work_leaves_no_files(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=30)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MidframeError, match="broke"):
        interpolate_video(source, tmp_path / "out.mp4", model=Breaker())
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_keeps_the_file_that_was_to_be_replaced(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=30), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager())
    before = target.read_bytes()
    with pytest.raises(MidframeError, match="broke"):
        interpolate_video(source, target, model=Breaker(), overwrite=True)
    assert target.read_bytes() == before


def test_progress_includes_the_fraction_of_the_present_pair(
    render_video: Render, tmp_path: Path
) -> None:
    states: list[tuple[float, int | None]] = []
    interpolate_video(
        render_video(frames=3),
        tmp_path / "out.mp4",
        model=Averager(),
        progress=lambda *state: states.append(state),
    )
    assert states == [(done, 3) for done in (1, 1.5, 2, 2, 2.5, 3, 3)]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("in.avi", "mpeg4"),
        ("in.avi", "libx264"),
        ("in.webm", "libvpx-vp9"),
        ("in.mov", "prores_ks"),
        ("in.ts", "libx264"),
    ],
)
def test_other_containers_are_read(
    render_video: Render, tmp_path: Path, name: str, codec: str
) -> None:
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    source = render_video(name, frames=20, codec=codec, pixel_format=pixel_format, sound=False)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert (report.frames_in, report.frames_out, report.problems) == (20, 40, ())
    shown = times_of(tmp_path / "out.mp4")
    assert shown == [shown[0] + n * Fraction(1001, 48000) for n in range(40)]


def test_a_frame_that_is_shown_for_long_is_held(render_video: Render, tmp_path: Path) -> None:
    source = render_video(
        "in.mkv", frames=24, rate=Fraction(25), sound=False, pts=[*range(20), 60, 61, 62, 63]
    )
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager(), codec="ffv1")
    assert (report.gaps, report.frames_held, report.problems) == (1, 82, ())
    shown = [planes(frame)[0] for frame in frames_of(tmp_path / "out.mkv")]
    assert all(np.array_equal(frame, shown[38]) for frame in shown[39:120])
    assert not np.array_equal(shown[120], shown[38])


def test_a_slide_of_eleven_hours_is_held_without_a_million_frames(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(
        "in.mkv",
        frames=24,
        rate=Fraction(25),
        sound=False,
        pts=[*range(20), *range(10**6, 10**6 + 4)],
    )
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert (report.gaps, report.frames_kept, report.frames_out, report.problems) == (1, 24, 48, ())
    assert report.length_out == Fraction(10**6 + 4, 25)
