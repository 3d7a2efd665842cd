"""Commands for videos: video and score; names of results and reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import midframe
from midframe import cli
from midframe.cli import video as video_commands
from midframe.cli.options import read_video_options
from midframe.cli.report import show_report
from midframe.cli.shared import out
from midframe.video.report import VideoReport


def test_the_frame_rate_of_a_video_is_doubled(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path, tiny_weights: Path
) -> None:
    source = render_video(frames=5)
    status, output, _ = run("video", source, "--model", tiny_weights)
    assert status == 0
    assert "in-x2.mp4: 10 frames from 5: 5 kept, 4 interpolated, 1 held, 0 cuts" in output
    assert (tmp_path / "in-x2.mp4").exists()


def test_video_accepts_a_frame_rate_a_slow_motion_and_a_report(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=6)
    for options, name in (
        (["--fps", "30000/1001"], "in-30000-1001fps.mp4"),
        (["--slow", "2.5"], "in-slow2.5.mp4"),
    ):
        arguments = [
            "video",
            str(source),
            *options,
            "--model",
            str(tiny_weights),
            "--report",
            str(tmp_path / "r.json"),
        ]
        status, output, errors = run(*arguments)
        assert status == 0, errors
        assert (tmp_path / name).exists()
        assert "largest timing error" in output
        assert json.loads((tmp_path / "r.json").read_text())["problems"] == []


def test_score_writes_scores_and_images_and_never_overwrites_them(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    arguments = ("score", str(render_video(frames=9)), "--model", str(tiny_weights))
    status, output, _ = run(*arguments)
    assert status == 0
    assert "minterpolate" in output
    assert (tmp_path / "in-score" / "worst-1.png").exists()
    status, _, errors = run(*arguments)
    assert (status, "has scores: name another folder, or give --overwrite" in errors) == (1, True)
    assert run(*arguments, "--overwrite", "--no-minterpolate")[0] == 0


def test_the_result_of_the_current_folder_is_written_next_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frames" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "frames" / "inner")
    context = typer.Context(typer.main.get_command(cli.app).commands["video"])
    request = read_video_options(context)
    for name, target in ((".", "frames/inner-x2"), ("..", "frames-x2")):  # folders of images
        default = video_commands.default_target(Path(name), request)
        assert default.resolve() == tmp_path / target


@pytest.mark.parametrize(
    ("source", "codec", "target"),
    [("film.mp4", None, "film-x2.mp4"), ("film.mkv", None, "film-x2.mkv"),
    ("film.webm", None, "film-x2.mp4"),
     ("a.gif", None, "a-x2.gif"), ("frames/%06d.png", None, "frames-x2"), ("-", None, "-"),
     ("a.m4v", None, "a-x2.m4v"),
     ("50%d.mp4", None, "50%d-x2.mp4"), ("film.mp4", "prores", "film-x2.mov"),
     ("film.mp4", "ffv1", "film-x2.mkv"),
     ("film.mkv", "prores", "film-x2.mkv"), ("film.mov", "ffv1", "film-x2.mkv"),
     ("film.mov", "hevc", "film-x2.mov"),
     ("film.mp4", "prores_ks", "film-x2.mov"), ("a.gif", "h264", "a-x2.mp4"),
     ("a/%d.png", "av1", "a-x2.mp4"), ("film.ts", "hevc", "film-x2.mp4")],
)  # fmt: skip
def test_the_default_name_of_a_result_follows_its_source_and_codec(
    source: str, codec: str | None, target: str
) -> None:
    context = typer.Context(typer.main.get_command(cli.app).commands["video"])
    request = read_video_options(context, codec=codec)
    assert video_commands.default_target(Path(source), request) == Path(target)


def test_the_default_container_supports_the_codec(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=3)
    for codec, name in (("prores", "in-x2.mov"), ("ffv1", "in-x2.mkv")):
        assert run("video", source, "--codec", codec, "--model", tiny_weights)[0] == 0
        assert (tmp_path / name).exists()


def test_a_complete_result_is_not_rendered_again(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path
) -> None:
    source = render_video(frames=3)
    arguments = ["video", source, source.with_name("o.mp4"), "--model", tiny_weights]
    assert run(*arguments, "--report", source.with_name("r.json"))[0] == 0
    report = source.with_name("r.json").read_text()
    report_values = json.loads(report)
    assert [Path(report_values[name]).name for name in ("source", "result")] == [
        source.name,
        "o.mp4",
    ]
    assert report_values["options"]["model"] == str(tiny_weights)
    assert report_values["midframe"] == midframe.__version__
    status, output, _ = run(*arguments, "--resume", "--report", source.with_name("r.json"))
    assert (
        status,
        output.endswith("o.mp4 is already complete: it was made with the same options\n"),
    ) == (0, True)
    assert source.with_name("r.json").read_text() == report
    assert run(*arguments, "--resume", "--factor", 3)[0] == 1


def test_problems_of_a_result_are_written_to_the_report(
    run: Callable,
    render_video: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "midframe.video.pipeline.convert_video",
        lambda *_, **__: VideoReport(frames_in=3, problems=("too short",)),
    )
    status, _, errors = run("video", render_video(frames=3), "--report", tmp_path / "r.json")
    assert (status, "too short" in errors) == (1, True)
    assert json.loads((tmp_path / "r.json").read_text())["problems"] == ["too short"]
    assert run("video", tmp_path / "in.mp4", "--report", tmp_path / "r.json")[0] == 1


def test_a_result_without_a_suffix_is_refused(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    status, _, errors = run("video", render_video(frames=2), tmp_path / "x3")
    assert (status, "x3.mp4, or images as in" in errors) == (1, True)


def test_an_existing_folder_without_images_is_refused_as_the_result_of_a_video(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    status, _, errors = run("video", render_video(frames=2), tmp_path / "results")
    assert (status, "name a video as in" in errors, "results/in.mp4" in errors) == (1, True, True)
    status, _, errors = run("video", "-", tmp_path / "results")
    assert (status, "results/video.mp4" in errors) == (1, True)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_drops_the_summary_of_a_pipe_too(
    quiet: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "quiet", quiet)
    show_report(Path("-"), VideoReport(dropped=("sound",)))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("0 frames from 0" in printed.err) is not quiet
    assert "midframe: dropped: sound" in printed.err
