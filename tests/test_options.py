"""Options are validated, and every entry point has the same fields and defaults."""

import inspect
import json
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.video import Averager

from midframe.batch.records import parse_record
from midframe.cli.image import image
from midframe.cli.video import compare, score, video
from midframe.errors import OptionError, VideoError
from midframe.interpolator import Interpolator
from midframe.options import (
    CompareOptions,
    EncodingOptions,
    InterpolationOptions,
    RetimingOptions,
    SourceOptions,
    fingerprint,
)
from midframe.video.compare import compare_video
from midframe.video.pipeline import interpolate_video
from midframe.video.segments import JOB_FILE, Segments, segments_folder

GROUPS = (InterpolationOptions, RetimingOptions, SourceOptions, EncodingOptions)


@pytest.mark.parametrize(
    ("group", "wrong", "message"),
    [
        (InterpolationOptions, {"tile": -1}, "tile is -1: 0 or more"),
        (InterpolationOptions, {"scale": 3}, "scale is 3: 1, 2, 4"),
        (InterpolationOptions, {"depth": 0}, "depth is 0: 1 or more"),
        (InterpolationOptions, {"ensemble": 3}, "ensemble is 3: choose from 1, 2, 4, 8"),
        (
            InterpolationOptions,
            {"precision": "half"},
            "precision is 'half': choose from auto, float32",
        ),
        (RetimingOptions, {"factor": 0}, "factor is 0"),
        (RetimingOptions, {"factor": 2, "fps": "60"}, "factor is 2 and fps is 60: only one"),
        (RetimingOptions, {"fps": "fast"}, "fps is 'fast': a number"),
        (RetimingOptions, {"fps": "60", "vfr": True}, "vfr is set"),
        (RetimingOptions, {"slow": 0.5}, "slow is 0.5: 1 to 1000"),
        (RetimingOptions, {"slow": float("nan")}, "slow is nan"),
        (RetimingOptions, {"cut": "melt"}, "cut is 'melt': choose from hold, nearest, blend"),
        (SourceOptions, {"start": -1.0}, "start is -1"),
        (SourceOptions, {"start": 2.0, "end": 1.0}, "end is 1 and start is 2"),
        (SourceOptions, {"cut_threshold": 101}, "cut_threshold is 101: 0 to 100"),
        (SourceOptions, {"source_fps": "0"}, "source_fps is 0: a number above 0"),
        (EncodingOptions, {"encoder_options": {"": "film"}}, "encoder_options holds ''"),
        (CompareOptions, {"factor": 0}, "factor is 0: 1 or more"),
        (CompareOptions, {"slower": 0}, "slower is 0: 1 or more"),
        (CompareOptions, {"slower": 1001}, "slower is 1001: 1 to 1000"),
    ],
)
def test_an_invalid_value_is_refused_with_the_allowed_values(
    group: Any, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        group(**wrong)
    assert isinstance(caught.value, ValueError)


def test_options_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        RetimingOptions().factor = 3  # type: ignore[misc]


def test_frame_rates_are_exact_in_any_notation() -> None:
    for rate in ("59.94", 59.94, "60000/1001", Fraction(60000, 1001)):
        assert RetimingOptions(fps=rate) == RetimingOptions(fps=Fraction(60000, 1001))
    assert RetimingOptions(slow=2.5) == RetimingOptions(slow="5/2")


@pytest.mark.parametrize(
    "entry", [Interpolator, interpolate_video, compare_video, video, compare, score, image]
)
def test_every_entry_point_has_the_defaults_of_the_options(entry: Callable[..., Any]) -> None:
    groups = (CompareOptions, *GROUPS) if entry in (compare, compare_video) else GROUPS
    known = {each.name: each.default for group in reversed(groups) for each in fields(group)}
    parameters = inspect.signature(entry).parameters
    shared = parameters.keys() & known.keys()
    assert len(shared) >= 6
    for name in shared:
        assert known[name] is not MISSING
        assert (name, parameters[name].default) == (name, known[name])


def test_every_video_option_is_an_argument_of_the_function_and_the_command() -> None:
    names = {each.name for group in GROUPS for each in fields(group)} - {"depth"}
    assert names <= inspect.signature(interpolate_video).parameters.keys()
    assert names - {"encoder_options"} <= inspect.signature(video).parameters.keys()


def test_a_fingerprint_contains_every_option_that_changes_frames() -> None:
    values = fingerprint(*(group() for group in GROUPS))
    omitted = {each.name for group in GROUPS for each in fields(group)} - values.keys()
    assert omitted == {"model", "device", "strict", "mute", "hwaccel"}
    assert json.loads(json.dumps(values)) == values
    for changed in ({"tile": 64}, {"scale": 2}, {"ensemble": 4}, {"precision": "float32"}):
        assert fingerprint(InterpolationOptions(**changed)) != fingerprint(InterpolationOptions())
    assert fingerprint(InterpolationOptions(device="cpu")) == fingerprint(InterpolationOptions())
    assert fingerprint(RetimingOptions(fps=60)) == fingerprint(RetimingOptions(fps="60"))


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        (EncodingOptions, {"crf": "18"}, "crf is '18': a whole number"),
        (EncodingOptions, {"crf": True}, "crf is True: a whole number"),
        (EncodingOptions, {"encoder_options": ["a=1"]}, "names and texts are needed"),
        (InterpolationOptions, {"tile": "64"}, "tile is '64': a whole number"),
        (InterpolationOptions, {"scale": 1.5}, "scale is 1.5: a whole number"),
        (InterpolationOptions, {"depth": 2.5}, "depth is 2.5: a whole number"),
        (SourceOptions, {"cut_threshold": "10"}, "cut_threshold is '10': a number"),
        (RetimingOptions, {"dedup": "no"}, "dedup is 'no': True or False"),
        (RetimingOptions, {"overlays": None}, "overlays is None: True or False"),
        (SourceOptions, {"deinterlace": "off"}, "deinterlace is 'off': True or False"),
        (SourceOptions, {"strict": 2}, "strict is 2: True or False"),
        (EncodingOptions, {"mute": []}, r"mute is \[\]: True or False"),
        (
            InterpolationOptions,
            {"device": 0},
            "device is 0, which is not available: choose from auto, cpu",
        ),
    ],
)
def test_options_of_another_type_are_refused_by_name(
    group: Callable[..., object], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        group(**values)


def test_equal_values_of_another_type_give_the_same_fingerprint() -> None:
    for one, other in (
        (EncodingOptions(crf=18), EncodingOptions(crf=18.0)),  # type: ignore[arg-type]
        (EncodingOptions(preset="9"), EncodingOptions(preset=9)),  # type: ignore[arg-type]
        (RetimingOptions(vfr=True), RetimingOptions(vfr=1)),  # type: ignore[arg-type]
        (InterpolationOptions(scale=2), InterpolationOptions(scale=2.0)),  # type: ignore[arg-type]
    ):
        assert json.dumps(fingerprint(one)) == json.dumps(fingerprint(other))


def test_python_and_the_command_line_give_the_same_fingerprint() -> None:
    encodings = [EncodingOptions(encoder_options=None), EncodingOptions(encoder_options={})]
    assert len({json.dumps(fingerprint(each)) for each in encodings}) == 1
    thresholds = [SourceOptions(cut_threshold=10), SourceOptions(cut_threshold=10.0)]
    assert len({json.dumps(fingerprint(each)) for each in thresholds}) == 1


def test_no_factor_and_the_default_one_are_the_same_work(tmp_path: Path) -> None:
    unset, given = (fingerprint(RetimingOptions(factor)) for factor in (None, 2))
    assert unset == given
    other = [RetimingOptions(3), RetimingOptions(2, slow=2), RetimingOptions(slow=2)]
    assert len({json.dumps(fingerprint(each)) for each in other}) == 3
    stored = {**unset, "factor": 2}  # by an earlier version
    work = Segments(tmp_path / "out.mp4", stored)
    work.add(0, b"", [])
    assert work.close()
    Segments(tmp_path / "out.mp4", unset, resume=True).close()
    record = json.dumps({"settings": stored, "bytes": 1, "report": {}})
    assert parse_record(record, 1, unset) == {}


def test_resuming_with_another_tile_size_is_refused(tmp_path: Path) -> None:
    jobs = [fingerprint(InterpolationOptions(tile=tile)) for tile in (None, 64)]
    work = Segments(tmp_path / "out.mp4", jobs[0])
    work.add(0, b"", [])
    assert work.close()
    with pytest.raises(VideoError, match="tile was None and is 64"):
        Segments(tmp_path / "out.mp4", jobs[1], resume=True)


def test_resuming_work_of_an_earlier_version_is_refused(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    source, target = render_video(frames=3), tmp_path / "out.mp4"
    folder = segments_folder(target)
    folder.mkdir()
    (folder / JOB_FILE).write_text(json.dumps({"factor": None, "fps": "None", "crf": 18}))
    with pytest.raises(
        VideoError, match=r"unfinished work of another version of midframe: .* --overwrite"
    ):
        interpolate_video(source, target, model=Averager(), resume=True)
    assert (folder / JOB_FILE).exists()
    assert interpolate_video(source, target, model=Averager(), overwrite=True).problems == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("0:01:40.5", 100.5), ("2:00:00", 7200), (".5", 0.5), (3, 3)],
)
def test_times_are_seconds_or_clock_times(text: str, seconds: float) -> None:
    assert SourceOptions(start=text).seconds == (seconds, None)
    assert SourceOptions(end=text).seconds == (0, seconds)


@pytest.mark.parametrize("wrong", ["1:75", "1:60:00", "a", "1:2:3:4", "-1", ""])
def test_invalid_times_are_refused(wrong: str) -> None:
    with pytest.raises(OptionError, match="seconds, m:s or h:m:s"):
        SourceOptions(start=wrong)


def test_factors_are_exact_in_any_notation() -> None:
    for factor in ("2.5", 2.5, "5/2", Fraction(5, 2)):
        assert RetimingOptions(factor=factor).factor == Fraction(5, 2)
    assert isinstance(RetimingOptions(factor="2.0").factor, int)
    with pytest.raises(OptionError, match="factor is 5/2 and vfr is set"):
        RetimingOptions(factor="2.5", vfr=True)
    with pytest.raises(OptionError, match="factor is 'two'"):
        RetimingOptions(factor="two")


def test_errors_on_the_command_line_use_the_spelling_of_the_command_line() -> None:
    with pytest.raises(OptionError) as raised:
        SourceOptions(cut_threshold=200)
    assert str(raised.value) == "cut_threshold is 200: 0 to 100 is needed"
    assert raised.value.command_line_text == "--cut-threshold is 200: 0 to 100 is needed"
    with pytest.raises(OptionError) as raised:
        RetimingOptions(fps="60", vfr=True)
    expected = "--fps is 60 and --vfr is set: use --factor with --vfr"
    assert raised.value.command_line_text == expected


def test_options_that_differ_from_those_of_a_given_interpolator_are_refused(tmp_path: Path) -> None:
    """Otherwise they would be ignored."""
    tiled = Interpolator(lambda first, second: (first + second) / 2, device="cpu", tile=64)
    names = tmp_path / "in.mp4", tmp_path / "out.mp4"
    for call in (interpolate_video, compare_video):
        with pytest.raises(OptionError, match="ensemble is 2 and model is an Interpolator, which"):
            call(*names, model=tiled, ensemble=2)
        with pytest.raises(VideoError, match="does not exist"):
            call(*names, model=tiled, tile=64, device="cpu")
