"""VapourSynth clips; VapourSynth has packages for Python 3.12 and newer."""

import subprocess
import sys
from concurrent.futures import wait
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.flowsep import TINY
from helpers.video import Averager, render_frame

from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.media.reading.scenes import CutDetector
from midframe.models.flowsep import FlowSep

vs = pytest.importorskip("vapoursynth")

from midframe.vapoursynth import interpolate, to_array, write_array  # noqa: E402

FORMATS = ["RGB24", "RGB48", "RGBH", "RGBS"]
SHAPE = (48, 64)
SCRIPT = """
import vapoursynth as vs
from midframe.vapoursynth import interpolate
clip = vs.core.std.BlankClip(width=64, height=48, length=6, fpsnum=24, format=vs.YUV420P8)
clip = clip.std.SetFrameProps(_Matrix=1).resize.Bicubic(format=vs.RGBS)
clip = interpolate(clip, fps=60, model="flowsep-small", device="cpu")
clip.resize.Bicubic(format=vs.YUV420P8, matrix=1).set_output()
"""


@pytest.fixture
def averager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the network by the average of both frames."""
    monkeypatch.setattr("midframe.vapoursynth.Interpolator", lambda *_, **__: Averager(2))


def clip_of(images: list[Array], name: str = "RGB24", rate: Fraction = Fraction(25)) -> Any:
    """Return a clip of 8-bit images, converted to a format."""
    height, width = images[0].shape[:2]
    blank = vs.core.std.BlankClip(
        format=vs.RGB24, width=width, height=height, length=len(images),
        fpsnum=rate.numerator, fpsden=rate.denominator,
    )  # fmt: skip

    def fill(n: int, f: Any) -> Any:
        frame = f.copy()
        write_array(frame, images[n])
        return frame

    return blank.std.ModifyFrame(blank, fill).resize.Point(format=getattr(vs, name))


def moving_clip(count: int, name: str = "RGB24", rate: Fraction = Fraction(25)) -> Any:
    return clip_of([render_frame(n, *SHAPE) for n in range(count)], name, rate)


def two_scenes() -> list[Array]:
    return [render_frame(n, *SHAPE, scene=int(n >= 4)) for n in range(8)]


def arrays(clip: Any) -> list[Array]:
    return [to_array(frame).copy() for frame in clip.frames()]


def props_of(clip: Any, name: str) -> list[Any]:
    return [frame.props.get(name) for frame in clip.frames()]


@pytest.mark.usefixtures("averager")
@pytest.mark.parametrize("name", FORMATS)
def test_source_frames_keep_their_samples(name: str) -> None:
    clip = moving_clip(4, name)
    result = interpolate(clip)
    assert result.format.id == clip.format.id
    for kept, source in zip(result[::2].frames(), clip.frames(), strict=True):
        for plane in range(3):
            assert np.array_equal(np.asarray(kept[plane]), np.asarray(source[plane]))


@pytest.mark.parametrize("name", FORMATS)
def test_interpolated_frames_are_those_of_the_interpolator(name: str) -> None:
    model = FlowSep(TINY).eval()
    clip = moving_clip(2, name)
    first, second = arrays(clip)
    expected = Interpolator(model, device="cpu").interpolate(first, second, Fraction(1, 3))
    frames = arrays(interpolate(clip, 3, model=model, device="cpu", scene_change=0))[1]
    tolerance = 1e-3 if name == "RGBH" else 0
    np.testing.assert_allclose(frames, expected, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("averager")
@pytest.mark.parametrize(
    ("change", "frames", "rate"),
    [
        ({}, 20, Fraction(48000, 1001)),
        ({"factor": 3}, 30, Fraction(72000, 1001)),
        ({"factor": "2.5"}, 25, Fraction(60000, 1001)),
        ({"fps": "60000/1001"}, 25, Fraction(60000, 1001)),
        ({"fps": 12}, 5, Fraction(12)),  # a sixth frame would begin 0.4 ms before the end
    ],
)
def test_frame_count_rate_and_durations_are_exact(
    change: dict[str, Any], frames: int, rate: Fraction
) -> None:
    result = interpolate(moving_clip(10, rate=Fraction(24000, 1001)), **change)
    assert (result.num_frames, result.fps) == (frames, rate)
    assert set(props_of(result, "_DurationNum")) == {rate.denominator}
    assert set(props_of(result, "_DurationDen")) == {rate.numerator}


@pytest.mark.usefixtures("averager")
def test_a_variable_frame_rate_divides_the_duration_of_each_frame() -> None:
    clip = moving_clip(3).std.AssumeFPS(fpsnum=25)
    lengths = [Fraction(1, 25), Fraction(1, 10), Fraction(1, 50)]

    def set_length(n: int, f: Any) -> Any:
        frame = f.copy()
        frame.props["_DurationNum"] = lengths[n].numerator
        frame.props["_DurationDen"] = lengths[n].denominator
        frame.props["_AbsoluteTime"] = float(sum(lengths[:n]))
        return frame

    variable = vs.core.std.BlankClip(clip, fpsnum=0, fpsden=1).std.FrameEval(lambda n: clip)
    result = interpolate(variable.std.ModifyFrame(clip, set_length))
    assert (result.num_frames, result.fps) == (6, 0)
    pairs = zip(props_of(result, "_DurationNum"), props_of(result, "_DurationDen"), strict=True)
    assert [Fraction(*pair) for pair in pairs] == [
        length / 2 for length in lengths for _ in range(2)
    ]
    times = [0, 0.02, 0.04, 0.09, 0.14, 0.15]
    assert props_of(result, "_AbsoluteTime") == pytest.approx(times)


@pytest.mark.usefixtures("averager")
@pytest.mark.parametrize("change", [{"fps": 60}, {"factor": 2.5}])
def test_a_variable_frame_rate_needs_an_integer_factor(change: dict[str, Any]) -> None:
    clip = moving_clip(3).std.BlankClip(fpsnum=0, fpsden=1)
    with pytest.raises(vs.Error, match="whole factor"):
        interpolate(clip, **change)


def test_frames_requested_in_any_order_and_in_parallel_are_the_same() -> None:
    model, clip = FlowSep(TINY).eval(), moving_clip(6, "RGBS")
    in_order = arrays(interpolate(clip, 3, model=model, device="cpu"))
    result = interpolate(clip, 3, model=model, device="cpu")
    order = np.random.default_rng(0).permutation(result.num_frames)
    requests = {int(n): result.get_frame_async(int(n)) for n in order}
    wait(requests.values())
    for n, request in requests.items():
        with request.result() as frame:
            assert np.array_equal(to_array(frame), in_order[n]), n


@pytest.mark.usefixtures("averager")
def test_the_frame_before_a_scene_change_is_held() -> None:
    images = two_scenes()
    frames = arrays(interpolate(clip_of(images)))
    assert np.array_equal(frames[7], images[3])
    assert np.array_equal(frames[8], images[4])
    assert not np.array_equal(frames[5], images[2])


@pytest.mark.usefixtures("averager")
def test_scene_changes_are_those_of_the_cut_detector() -> None:
    images = two_scenes()
    detector = CutDetector()
    scene_starts = [
        detector.begins_scene(av.VideoFrame.from_ndarray(each).reformat(format="yuv444p"))
        for each in images
    ]
    result = interpolate(clip_of(images), 1)
    assert props_of(result, "_SceneChangePrev") == scene_starts
    assert props_of(result, "_SceneChangeNext") == [*scene_starts[1:], False]


@pytest.mark.usefixtures("averager")
def test_scene_change_properties_of_a_clip_are_used() -> None:
    marked = moving_clip(4).std.SetFrameProps(_SceneChangeNext=1, _SceneChangePrev=0)
    frames = arrays(interpolate(marked))
    assert all(np.array_equal(frames[n], frames[n + 1]) for n in range(0, 8, 2))
    unmarked = clip_of(two_scenes()).std.SetFrameProps(_SceneChangeNext=0, _SceneChangePrev=0)
    frames = arrays(interpolate(unmarked))
    assert not np.array_equal(frames[7], frames[6])


@pytest.mark.usefixtures("averager")
def test_only_the_last_frame_before_a_scene_change_is_marked() -> None:
    assert props_of(interpolate(clip_of(two_scenes())), "_SceneChangeNext").index(1) == 7
    assert sum(props_of(interpolate(clip_of(two_scenes())), "_SceneChangePrev")) == 1


@pytest.mark.usefixtures("averager")
def test_a_scene_change_threshold_of_0_disables_detection() -> None:
    images = two_scenes()
    frames = arrays(interpolate(clip_of(images), scene_change=0))
    assert not np.array_equal(frames[7], images[3])


@pytest.mark.usefixtures("averager")
def test_the_last_frame_and_a_single_frame_are_held() -> None:
    frames = arrays(interpolate(moving_clip(3)))
    assert np.array_equal(frames[5], frames[4])
    assert len(arrays(interpolate(moving_clip(1), 3))) == 3


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("not a clip", "a video clip is needed, got str"),
        (vs.core.std.BlankClip(format=vs.YUV420P8, length=2), 'format=vs.RGBS, matrix_in_s="709"'),
        (vs.core.std.BlankClip(format=vs.RGB30, length=2), r"RGB30: .*\(format=vs.RGBS\)"),
        (
            vs.core.std.Splice(
                [vs.core.std.BlankClip(format=each, length=1) for each in (vs.RGBS, vs.RGB24)],
                mismatch=True,
            ),
            "variable format or size",
        ),
    ],
)
def test_an_unsupported_clip_is_refused_with_the_remedy(clip: Any, message: str) -> None:
    with pytest.raises(vs.Error, match=message):
        interpolate(clip)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0.5}, "factor is 0.5"),
        ({"factor": 2, "fps": 60}, "only one"),
        ({"scene_change": 101}, "0 to 100"),
        ({"model": "missing"}, "missing"),
        ({"device": "none"}, "not available"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(vs.Error, match=message):
        interpolate(moving_clip(2), **options)


def test_a_script_writes_a_video(tmp_path: Path) -> None:
    script, output = tmp_path / "script.vpy", tmp_path / "out.y4m"
    script.write_text(SCRIPT)
    code = (  # like vspipe, which needs a Python built as a shared library
        "import runpy, sys, vapoursynth as vs; runpy.run_path(sys.argv[1]);"
        "vs.get_output(0).clip.output(open(sys.argv[2], 'wb'), y4m=True)"
    )
    subprocess.run([sys.executable, "-c", code, script, output], check=True)
    with av.open(str(output)) as container:
        assert container.streams.video[0].average_rate == 60
        assert sum(1 for _ in container.decode(video=0)) == 15
