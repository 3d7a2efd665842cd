import errno
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import midframe
from midframe import cli
from midframe.cli import shared
from midframe.cli.diagnostics import BUG_STATUS
from midframe.cli.help import GROUPS
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import read_image, write_image

Render = Callable[..., np.ndarray]


@pytest.fixture
def pair(tmp_path: Path, frame: Render) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for time, path in enumerate(paths):
        write_image(path, frame(2 * time))
    return paths


def test_the_version_is_shown(run: Callable) -> None:
    assert run("--version") == (0, f"midframe {midframe.__version__}\n", "")


def test_the_middle_frame_is_interpolated(
    run: Callable, pair: tuple[Path, Path], tmp_path: Path, tiny_weights: Path
) -> None:
    status, output, _ = run("image", *pair, "--model", tiny_weights)
    assert status == 0
    assert output.strip() == str(tmp_path / "a-mid.png")
    expected = Interpolator(str(tiny_weights)).interpolate(*map(read_image, pair))
    assert np.array_equal(read_image(tmp_path / "a-mid.png"), expected)


def test_several_interpolated_frames_are_numbered(
    run: Callable, pair: tuple[Path, Path], tmp_path: Path, tiny_weights: Path
) -> None:
    status, output, _ = run(
        "image", *pair, tmp_path / "m.png", "--count", 3, "--model", tiny_weights
    )
    assert status == 0
    assert [Path(line).name for line in output.split()] == ["m-1.png", "m-2.png", "m-3.png"]
    assert all((tmp_path / f"m-{n}.png").exists() for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["video", "{dir}/missing.mp4"], "missing.mp4 does not exist"),
        (["video", "{dir}/text.mp4"], "text.mp4 cannot be opened"),
        (["video", "{dir}/in.mp4", "--factor", "0"], "factor is 0"),
        (
            ["video", "{dir}/in.mp4", "--encoder-option", "tune"],
            "--encoder-option tune: a name and a value",
        ),
        (["video", "{dir}/in.mp4", "--fps", "60", "--factor", "2"], "one of them"),
        (["video", "{dir}/in.mp4", "--codec", "nosuch"], "no video codec 'nosuch'"),
        (["video", "{dir}/in.mp4", "--crf", "999"], "--crf is 999: libx264 takes 0"),
        (["video", "{dir}/in.mp4", "--encoder-option", "foo=bar"], "libx264 has no option 'foo'"),
        (["video", "{dir}/in.mp4", "--report", "{dir}/no/such/r.json"], "no/such is not a folder"),
        (
            ["video", "{dir}/in.mp4", "{dir}/o.mp4", "--report", "{dir}/in.mp4"],
            "in.mp4 is an input",
        ),
        (
            ["video", "{dir}/in.mp4", "{dir}/o.mp4", "--report", "{dir}/o.mp4"],
            "o.mp4 is the result itself",
        ),
        (
            ["video", "{dir}/in.mp4", "{dir}/o.mp4", "--report", "{dir}/a.png"],
            "a.png exists and is not a report",
        ),
        (["video", "{dir}/in.mp4", "{dir}/o.mp4", "--report", "{dir}"], "is a folder"),
        (
            ["video", "{dir}/in.mp4", "{dir}/two.mp4", "--overwrite"],
            "two.mp4 exists and was not written by midframe",
        ),
        (["video", "{dir}/in.mp4", "--cut-threshold", "200"], "--cut-threshold is 200.0: 0 to 100"),
        (["video", "{dir}/in.mp4", "--source-fps", "25"], "drop --source-fps"),
        (["video", "{dir}/in.mp4", "--fps", "50", "--vfr"], "--vfr is set: use --factor"),
        (["video", "{dir}/new\nline.mp4"], "new\\nline.mp4 does not exist"),
        (["video", "{dir}/" + "x" * 300 + ".mp4"], "File name too long: choose a shorter name"),
        (["video", "{dir}/in.mp4", "--device", "abacus"], "is 'abacus', which is not available"),
        (["video", "{dir}/in.mp4", "--model", "nosuch"], "no weights 'nosuch'"),
        (["image", "{dir}/a.png", "{dir}/missing.png"], "missing.png does not exist"),
        (["image", "{dir}/a.png", "{dir}/small.png"], "a.png is 96x64"),
        (["image", "{dir}/a.png", "{dir}/text.mp4"], "cannot be read as an image"),
        (["image", "{dir}/a.png", "{dir}/b.png", "{dir}/small.png"], "small.png exists"),
        (
            ["image", "{dir}/a.png", "{dir}/b.png", "{dir}/a.png", "--overwrite"],
            "is an input: name another output",
        ),
        (
            ["image", "{dir}/a.png", "{dir}/b.png", "{dir}/x/../b.png", "--overwrite"],
            "b.png) is an input",
        ),
        (["image", "{dir}/a.png", "{dir}/b.png", "{dir}/nowhere/m.png"], "nowhere is not a folder"),
        (["image", "{dir}/a.png", "{dir}/b.png", "{dir}/m.xyz"], "cannot be written as .xyz"),
        (["look", "{dir}/a.png", "{dir}/b.png", "{dir}/b.png", "--overwrite"], "b.png is an input"),
        (["look", "{dir}/a.png", "{dir}/b.png", "{dir}/b.xyz"], "cannot be written as .xyz"),
        (
            ["kernels", "{dir}/a.png", "{dir}/b.png", "{dir}/b.png", "--overwrite"],
            "b.png is an input",
        ),
        (["kernels", "{dir}/a.png", "{dir}/b.png", "--ensemble", "8"], "drop --ensemble"),
        (
            ["kernels", "{dir}/a.png", "{dir}/b.png", "--quality", "best", "--at", "999,0"],
            "--at is 999,0",
        ),
        (["evaluate", "{dir}/nowhere"], "does not exist"),
        (["evaluate", "{dir}"], "no complete scene of a known layout"),
        (["dataset", "create", "{dir}/nowhere", "{dir}/set"], "does not exist"),
        (["dataset", "show", "{dir}"], "dataset create"),
        (["train", "{dir}/nowhere.toml"], "nowhere.toml cannot be read"),
        (["curves", "{dir}"], "name the folder of a training"),
    ],
)
def test_bad_input_gives_one_clear_line_and_status_1(
    run: Callable, render_video: Callable[..., Path], pair: tuple[Path, Path], tmp_path: Path,
    frame: Render, tiny_weights: Path, arguments: list[str], message: str,
) -> None:  # fmt: skip
    render_video(frames=3)
    render_video("two.mp4", frames=3)
    (tmp_path / "text.mp4").write_text("no video")
    write_image(tmp_path / "small.png", frame(0, 32, 48))
    (tmp_path / "x").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments = [word.format(dir=tmp_path) for word in arguments]
    if arguments[0] in ("video", "image") and "--model" not in arguments:
        arguments += ["--model", str(tiny_weights)]
    status, _, errors = run(*arguments)
    lines = [line for line in errors.splitlines() if line.startswith("midframe: ")]
    assert status == 1
    assert len(lines) == 1
    assert message in lines[0]
    assert arguments[0] != "video" or errors.count("\n") == 1  # and no progress bar
    assert "Traceback" not in errors
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["video"], ["image", "a.png"], ["video", "a.mp4", "--factor", "two"]]
)
def test_wrong_usage_exits_with_status_2(run: Callable, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_a_missing_extra_is_reported_with_its_pip_command(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_to_import(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    monkeypatch.setattr(cli, "app", fail_to_import)
    status, _, errors = run("dataset", "show", "set")
    assert status == 1
    assert "needs cv2: pip install 'midframe[train]'" in errors


def test_file_names_are_printed_verbatim_on_one_line(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=3).rename(tmp_path / "[bold]a\nb.mp4")
    status, output, _ = run("video", source, "--model", tiny_weights)
    assert status == 0
    assert "[bold]a\\nb-x2.mp4: 6 frames from 3" in output


def test_one_line_escapes_control_characters() -> None:
    assert (
        shared.one_line("a\nb\r\tc\x1b[31m\udcff\u2028é 漢") == r"a\nb\r\tc\x1b[31m\udcff\u2028é 漢"
    )


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, 130), (SystemExit(130), 130), (SystemExit(2), 2)]
)
def test_an_interrupted_command_exits_with_status_130(
    run: Callable, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def raise_it(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "app", raise_it)
    assert run("video")[0] == status


def test_an_ffmpeg_error_is_reported_as_a_bug_not_as_a_bad_path(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        av.error.err_check(-errno.EOPNOTSUPP)

    monkeypatch.setattr(cli, "app", fail)
    status, _, errors = run("video")
    assert status == BUG_STATUS
    assert "another place" not in errors


@pytest.mark.parametrize("arguments", [(), ("dataset",)])
def test_without_a_command_the_help_is_printed(run: Callable, arguments: tuple[str, ...]) -> None:
    status, output, _ = run(*arguments)
    assert (status, "Usage:" in output) == (2, True)


def test_the_help_groups_all_commands(run: Callable) -> None:
    from typer.main import get_command

    from midframe.cli import app

    output = run("--help")[1]
    assert output.index("Interpolation:") < output.index("Inspection:") < output.index("Research:")
    assert "Commands:" not in output
    grouped = [name for names in GROUPS.values() for name in names]
    commands = get_command(app).commands.values()
    assert sorted(grouped) == sorted(each.name for each in commands if not each.hidden)
