"""Conventions of command lines: short options, --quiet, configuration, completion, events."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from typer.main import get_command

from midframe.cli import app
from midframe.cli.config import load_defaults, move_global_options_first
from midframe.errors import SourceError
from midframe.options import InterpolationOptions, VideoOptions
from midframe.process import THREAD_VARIABLES
from midframe.video.report import VideoReport

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "midframe").mkdir(parents=True)
    return tmp_path / "home" / "midframe"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[InterpolationOptions, VideoOptions]]:
    """Record the options of each conversion instead of converting."""
    recorded: list[Any] = []

    def convert(
        source: Path,
        target: Path,
        interpolation: InterpolationOptions,
        options: VideoOptions,
        **_: Any,
    ) -> VideoReport:
        recorded.append((interpolation, options))
        return VideoReport(already_complete=True)

    monkeypatch.setattr("midframe.video.pipeline.convert_video", convert)
    return recorded


def list_commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the names of all commands and subcommands."""
    commands = [path]
    for name, command in getattr(group, "commands", {}).items():
        commands += list_commands(command, (*path, name))
    return commands


@pytest.mark.parametrize("arguments", list_commands(get_command(app)), ids=" ".join)
def test_help_is_readable_in_80_columns(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, text, _ = run(*arguments, "-h")
    assert status == 0
    assert text == run(*arguments, "--help")[1]
    assert not re.search(r"--[a-z-]+ VALUE\b", text)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    descriptions = [line[28:] for line in lines if line.startswith(" " * 28)]
    assert all(line == line.strip() for line in descriptions)
    hidden_examples = not arguments or arguments[0] in (
        "models",
        "presets",
        "doctor",
        "curves",
        "dataset",
        "look",
    )
    assert hidden_examples or f"  midframe {' '.join(arguments)} " in text


@pytest.mark.parametrize("arguments", list_commands(get_command(app)), ids=" ".join)
def test_option_names_are_unique_within_a_command(arguments: tuple[str, ...]) -> None:
    command: Any = get_command(app)
    for argument in arguments:
        command = command.commands[argument]
    names = [name for parameter in command.params for name in parameter.opts]
    assert len(set(names)) == len(names)


def test_global_options_are_accepted_after_the_command() -> None:
    arguments = ["video", "in.mp4", "-q", "--log-file", "a.log", "--config=c.toml", "--crf", "20"]
    expected = ["-q", "--log-file", "a.log", "--config=c.toml", "video", "in.mp4", "--crf", "20"]
    assert move_global_options_first(arguments) == expected
    assert move_global_options_first(["video", "--", "-q"]) == ["video", "--", "-q"]


def test_a_quiet_command_prints_nothing(
    run: Run,
    render_video: Callable[..., Path],
    tiny_weights: Path,
) -> None:
    source = render_video(frames=3, sound=False)
    assert run("video", source, "-m", tiny_weights, "-q") == (0, "", "")
    assert source.with_name("in-x2.mp4").exists()
    status, output, errors = run("video", source, "-m", tiny_weights, "--quiet")
    assert (status, output) == (1, "")
    assert "in-x2.mp4 exists" in errors


def test_times_factors_and_codecs_are_parsed(
    run: Run,
    render_video: Callable[..., Path],
    jobs: list[tuple[InterpolationOptions, VideoOptions]],
) -> None:
    source = render_video(frames=3)
    arguments = ["-f", "2.5", "--start", "0:01", "--end", "1:30", "-c", "h265", "-m", "sepconv"]
    assert run("video", source, *arguments)[0] == 0
    interpolation, options = jobs[0]
    assert interpolation.model == "sepconv"
    assert options.source.seconds == (1, 90)
    assert options.retiming.factor == 2.5
    assert options.encoding.codec == "h265"
    assert run("video", source, "--start", "1:75")[0] == 2
    assert run("video", source, "--end", "soon")[0] == 2


@pytest.mark.parametrize(
    ("name", "codec"), [("h265", "hevc"), ("x265", "hevc"), ("x264", "h264"), ("H264", "h264")]
)
def test_a_codec_is_accepted_by_the_name_of_its_encoder_or_standard(
    run: Run,
    render_video: Callable[..., Path],
    tiny_weights: Path,
    name: str,
    codec: str,
) -> None:
    source = render_video(frames=3, sound=False)
    assert run("video", source, "--codec", name, "-m", tiny_weights)[0] == 0
    with av.open(str(source.with_name("in-x2.mp4"))) as container:
        assert container.streams.video[0].codec_context.name == codec


def test_frame_times_are_exact_with_a_factor_of_two_and_a_half(
    run: Run,
    render_video: Callable[..., Path],
    tiny_weights: Path,
) -> None:
    source = render_video(frames=8, sound=False)
    status, _, errors = run("video", source, "--factor", "2.5", "-m", tiny_weights)
    assert status == 0, errors
    with av.open(str(source.with_name("in-x2.5.mp4"))) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert len(times) == 20
    step = Fraction(1001, 60000)
    assert [each - times[0] for each in times] == [number * step for number in range(20)]


def test_threads_are_limited_before_pytorch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, os; sys.argv = ['midframe', 'video', 'missing.mp4', '--threads', '3']\n"
        "import atexit; atexit.register(lambda: print(os.environ.get('OMP_NUM_THREADS'),"
        " os.environ.get('HL_NUM_THREADS'), 'torch' in sys.modules))\n"
        "from midframe.cli import main; main()"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES
    }
    completed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert completed.stdout.split() == ["3", "3", "False"]


def test_the_command_line_overrides_the_defaults_of_a_configuration_file(
    run: Run,
    render_video: Callable[..., Path],
    tmp_path: Path,
    home: Path,
    jobs: list[tuple[InterpolationOptions, VideoOptions]],
) -> None:
    source = render_video(frames=3)
    (home / "config.toml").write_text(
        'model = "sepconv"\n[video]\ncrf = 21\ncut-threshold = 12.5\noverlays = false\n'
        'encoder-option = ["tune=film"]\nstart = "0:01"\n[dataset.create]\nsize = 128\n'
    )
    assert run("video", source)[0] == 0
    assert run("video", source, "--crf", 30, "--model", "flowsep", "--overlays")[0] == 0
    (tmp_path / "other.toml").write_text("[video]\ncrf = 25\n")
    assert run("video", source, "--config", tmp_path / "other.toml")[0] == 0
    assert [each.model for each, _ in jobs] == ["sepconv", "flowsep", "flowsep"]
    assert [each.encoding.crf for _, each in jobs] == [21, 30, 25]
    assert [each.retiming.overlays for _, each in jobs] == [False, True, True]
    assert jobs[0][1].encoding.encoder_options == {"tune": "film"}
    assert jobs[0][1].source.seconds == (1, None)
    assert jobs[0][1].source.cut_threshold == 12.5


def test_fps_on_the_command_line_overrides_a_factor_in_the_configuration(
    run: Run,
    render_video: Callable[..., Path],
    home: Path,
    jobs: list[tuple[InterpolationOptions, VideoOptions]],
) -> None:
    source = render_video(frames=3)
    (home / "config.toml").write_text("[video]\nfactor = 2.5\n")
    assert run("video", source, "--fps", 60)[0] == 0
    assert run("video", source)[0] == 0
    retimings = [(options.retiming.factor, options.retiming.fps) for _, options in jobs]
    assert retimings == [(None, 60), (2.5, None)]
    assert run("video", source, "--fps", 60, "--factor", 2)[0] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[video]\ncrv = 20\n", r"no option 'crv' of video: choose from .*\bcrf, "),
        ("colour = 1\n", r"no option 'colour' of any command: choose from .*\bcrf, "),
        ("[films]\ncrf = 20\n", r"no command 'films': choose from .*\bvideo\b"),
        ("[dataset.make]\nsize = 20\n", r"no command 'make': choose from create, "),
        ("crf = = 2\n", "cannot be read as TOML"),
        ("[video]\ncrf = true\n", "crf is True: give a number or a text, as after --crf"),
        ("[video.crf]\nx264 = 20\n", "crf is {'x264': 20}: give a number or a text"),
    ],
)
def test_an_invalid_configuration_is_refused_with_the_valid_choices(
    run: Run,
    tmp_path: Path,
    text: str,
    message: str,
) -> None:
    (tmp_path / "c.toml").write_text(text)
    status, _, errors = run("--config", tmp_path / "c.toml", "video", "in.mp4")
    assert status == 1
    assert re.search(message, errors)
    assert run("--config", tmp_path / "none.toml", "models")[0] == 1


def test_a_configuration_may_have_a_bom_crlf_and_toml_times(tmp_path: Path) -> None:
    text = '\ufeff[video]\r\nstart = 00:01:30\r\nencoder-option = "tune=film"\r\nmute = true\r\n'
    (tmp_path / "c.toml").write_bytes(text.encode())
    defaults = load_defaults(tmp_path / "c.toml", get_command(app))["video"]
    assert defaults == {"start": "00:01:30", "encoder_option": ["tune=film"], "mute": True}


def test_top_level_keys_apply_to_the_commands_of_groups_too(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("per-clip = 3\n[dataset.create]\ndrawings = 2\n")
    defaults = load_defaults(tmp_path / "c.toml", get_command(app))
    assert defaults["dataset"]["create"] == {"per_clip": 3, "drawings": 2}
    assert "per_clip" not in defaults["video"]


def test_an_unreadable_or_missing_home_folder_gives_no_configuration(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(error: Exception) -> Callable[..., Any]:
        def raise_error(*_: Any) -> Any:
            raise error

        return raise_error

    denied = PermissionError(13, "Permission denied", "/root/.config")
    monkeypatch.setattr(Path, "is_file", refuse(denied))
    assert load_defaults(None, get_command(app)) == {}
    assert "/root/.config is ignored (Permission denied)" in caplog.text
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", refuse(RuntimeError("Could not determine home directory.")))
    assert load_defaults(None, get_command(app)) == {}


def test_quality_changes_only_defaults(
    run: Run,
    render_video: Callable[..., Path],
    home: Path,
    jobs: list[tuple[InterpolationOptions, VideoOptions]],
) -> None:
    source = render_video(frames=3)
    assert run("video", source, "--quality", "draft")[0] == 0
    assert run("video", source, "--quality", "best", "--crf", 20)[0] == 0
    (home / "config.toml").write_text('[video]\nquality = "best"\ncrf = 21\n')
    assert run("video", source)[0] == 0
    assert run("video", source, "--quality", "draft")[0] == 0
    settings = [(each.model, each.ensemble, options.encoding.crf) for each, options in jobs]
    assert settings == [
        ("flowsep-small", 1, 23),
        ("flowsep", 4, 20),
        ("flowsep", 4, 21),
        ("flowsep-small", 1, 23),
    ]
    status, _, errors = run("video", source, "--quality", "good")
    assert status == 2
    assert "'good' is not one of 'draft'" in errors
    assert "Value error" not in errors


@pytest.mark.parametrize("name", ["-clip.mp4", "--clip.mp4"])
def test_a_file_name_that_begins_like_an_option_gets_a_hint(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    status, _, errors = run("video", name)
    assert status == 2
    assert f"write ./{name}" in " ".join(errors.split())
    assert "write ./" not in run("video", "-none.mp4")[2]


def test_completion_lists_commands_and_options() -> None:
    environment = {
        **os.environ,
        "_MIDFRAME_COMPLETE": "complete_bash",
        "COMP_WORDS": "midframe vi",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-m", "midframe"]
    completed = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert set(completed.stdout.split()) == {"video", "visualize"}
    environment |= {"COMP_WORDS": "midframe video --sta", "COMP_CWORD": "2"}
    completed = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert completed.stdout.split() == ["--start"]


def parse_events(errors: str) -> list[dict[str, Any]]:
    """Parse standard error, which contains nothing but events."""
    return [json.loads(line) for line in errors.splitlines()]


def test_progress_json_prints_events(
    run: Run,
    render_video: Callable[..., Path],
    tiny_weights: Path,
) -> None:
    source = render_video(frames=5)
    arguments = ["video", source, "--model", tiny_weights, "--progress", "json"]
    status, output, errors = run(*arguments)
    assert (status, output) == (0, "")
    first, *progress, last = parse_events(errors)
    target = str(source.with_name("in-x2.mp4"))
    assert first == {"event": "start", "source": str(source), "target": target}
    assert {each["event"] for each in progress} == {"progress"}
    assert progress[0].keys() == {
        "event", "done", "total", "frames_per_second", "seconds_left"
    }  # fmt: skip
    assert progress[-1]["done"] == progress[-1]["total"] == 5
    assert (last["event"], last["target"]) == ("done", target)
    assert (last["report"]["frames_out"], last["report"]["problems"]) == (10, [])
    status, _, errors = run(*arguments)
    assert status == 1
    assert [each["event"] for each in parse_events(errors)] == ["error"]
    assert "in-x2.mp4 exists" in parse_events(errors)[0]["message"]


def test_warnings_and_errors_are_events_too(
    run: Run,
    render_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import logging

    def convert(*_: Any, **__: Any) -> VideoReport:
        logging.getLogger("midframe.video").warning("strange\nvideo")
        raise SourceError("it is damaged")

    monkeypatch.setattr("midframe.video.pipeline.convert_video", convert)
    status, _, errors = run("video", render_video(frames=3), "--progress", "json")
    assert status == 1
    assert parse_events(errors)[1:] == [
        {"event": "warning", "message": "strange\nvideo"},
        {"event": "error", "message": "it is damaged"},
    ]
    assert run("video", render_video(frames=3), "--progress", "none")[2].count("\n") == 2
