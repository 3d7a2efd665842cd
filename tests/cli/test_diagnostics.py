"""Error messages: a mistake of the user is one line, a bug is reported as a bug."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.video import render_frame

from midframe import cli
from midframe.errors import OptionError, VideoError
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import read_image, write_image
from midframe.models.flowsep import FlowSep

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("max() arg is an empty sequence"),
        KeyError("cut"),
        TypeError("no"),
        AssertionError("begun"),
    ],
)
def test_an_unexpected_exception_is_reported_as_a_bug(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:  # fmt: skip
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "app", fail)
    status, _, errors = run("video", "in.mp4")
    assert status == cli.BUG_STATUS == 70
    assert f"midframe: bug: {type(raised).__name__} in " in errors
    assert "Please report it" in errors
    assert "midframe doctor" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "raised", [OptionError("factor is 0: 1 is needed"), VideoError("in.mp4 is damaged")]
)
def test_a_mistake_of_the_user_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:  # fmt: skip
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "app", fail)
    assert run("video", "in.mp4") == (1, "", f"midframe: {raised}\n")


def test_out_of_memory_is_not_reported_as_a_bug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(**_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(cli, "app", run_out_of_memory)
    status, _, errors = run("video", "in.mp4")
    assert (status, "out of memory: choose a smaller --tile" in errors) == (1, True)


def test_debug_prints_the_traceback_of_any_error(run: Run, tmp_path: Path) -> None:
    status, _, errors = run("--debug", "video", tmp_path / "missing.mp4")
    assert status == 1
    assert "Traceback" in errors
    assert "missing.mp4 does not exist" in errors.splitlines()[-1]


def test_the_log_file_gets_the_steps_and_the_error_appended(
    run: Run,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.txt"
    for name in ("one.mp4", "two.mp4"):
        status, _, errors = run("--log-file", log, "video", tmp_path / name)
        assert (status, errors.count("\n")) == (1, 1)
    text = log.read_text()
    assert all(f"{name} does not exist" in text for name in ("one.mp4", "two.mp4"))
    assert "Traceback" in text
    assert re.match(r"\d{4}-\d\d-\d\d .* midframe ", text)
    assert logging.getLogger("midframe").handlers == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full does not exist")
def test_a_log_file_on_a_full_disk_is_reported_once_and_does_not_stop_the_work(run: Run) -> None:
    status, _, errors = run("--log-file", "/dev/full", "--verbose", "video", "missing.mp4")
    assert status == 1
    assert errors.count("/dev/full cannot be written (No space left on device)") == 1
    assert "missing.mp4 does not exist" in errors
    assert "Traceback" not in errors


def test_a_file_that_is_not_a_log_is_never_overwritten_as_one(run: Run, tmp_path: Path) -> None:
    video = tmp_path / "film.mp4"
    video.write_bytes(b"\0\0\0\x18ftypmp42")
    status, _, errors = run("--log-file", video, "models")
    assert (status, "is not a log file of midframe" in errors) == (1, True)
    assert video.read_bytes() == b"\0\0\0\x18ftypmp42"
    assert run("--log-file", tmp_path, "models")[0] == 1


def test_verbose_prints_the_steps(
    run: Run, render_video: Callable[..., Path], tiny_weights: Path
) -> None:  # fmt: skip
    status, _, errors = run("--verbose", "video", render_video(frames=3), "--model", tiny_weights)
    assert status == 0
    assert "midframe: source: 96x64 yuv420p, constant rate of 23.976 frames/s" in errors
    assert "midframe: result: libx264 yuv420p, 47.952 frames/s" in errors


@pytest.mark.parametrize("command", ["video", "compare", "image"])
def test_help_groups_the_options(run: Run, command: str) -> None:
    status, output, _ = run(command, "--help")
    titles = {"video": ["Retiming", "Source", "Interpolation", "Encoding", "Output"]}
    assert status == 0
    assert all(
        f"\n{title}:\n" in output for title in titles.get(command, ["Interpolation", "Output"])
    )


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for time, path in enumerate(paths):
        write_image(path, render_frame(2 * time))
    return paths


def test_frames_are_interpolated_at_several_times(
    run: Run,
    images: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    arguments = ("--time", "0.25", "--time", "1/3", "--precision", "float32", "--device", "cpu")
    status, output, errors = run("image", *images, tmp_path / "m.png", *arguments)
    assert (status, [Path(line).name for line in output.split()]) == (0, ["m-1.png", "m-2.png"]), (
        errors
    )
    tool = Interpolator("flowsep", device="cpu", precision="float32", single_pair=True)
    assert isinstance(tool.model, FlowSep)
    expected = tool.interpolate_many(*map(read_image, images), [1 / 4, 1 / 3])
    for number, image in enumerate(expected, start=1):
        assert (read_image(tmp_path / f"m-{number}.png") == image).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time", "1.5"), "--time is 1.5: a number from 0"),
        (("--time", "half"), "--time is 'half': a number from 0 to 1 is needed"),
        (("--time", "0.5", "--count", "2"), "only one of them"),
    ],
)
def test_invalid_times_are_refused_before_the_work(
    run: Run, images: tuple[Path, Path], arguments: tuple[str, ...], message: str
) -> None:  # fmt: skip
    status, _, errors = run("image", *images, *arguments)
    assert (status, message in errors) == (1, True), errors
