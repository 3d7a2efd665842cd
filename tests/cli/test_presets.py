"""Presets: options in files, between the configuration file and the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from midframe.cli import app
from midframe.cli.config import load_defaults
from midframe.cli.presets import shipped_presets
from midframe.options import InterpolationOptions, VideoOptions
from midframe.video.report import VideoReport

Run = Callable[..., tuple[int, str, str]]
Jobs = list[tuple[InterpolationOptions, VideoOptions]]


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration file, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "midframe").mkdir(parents=True)
    return tmp_path / "home" / "midframe" / "config.toml"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Record the options of each conversion instead of converting."""
    recorded: list[Any] = []

    def convert(_: Path, __: Path, *options: Any, **___: Any) -> VideoReport:
        recorded.append(options)
        return VideoReport(already_complete=True)

    monkeypatch.setattr("midframe.video.pipeline.convert_video", convert)
    return recorded


@pytest.fixture
def source(render_video: Callable[..., Path]) -> Path:
    return render_video(frames=3)


def test_each_shipped_preset_sets_options_of_videos_and_is_listed(run: Run) -> None:
    status, output, _ = run("presets")
    assert status == 0
    assert sorted(shipped_presets()) == ["anime", "film60", "phone"]
    for name, path in shipped_presets().items():
        assert load_defaults(path, get_command(app))["video"], name
        description, *options = path.read_text().splitlines()
        assert f"{name}: {description.removeprefix('# ')}\n" in output
        assert all(f"  {option}\n" in output for option in options)


def test_the_command_line_overrides_a_preset_and_a_preset_the_configuration(
    run: Run, source: Path, jobs: Jobs, configuration: Path, tmp_path: Path
) -> None:
    configuration.write_text('crf = 11\nmodel = "sepconv"\n[video]\nfactor = 3\n')
    preset = tmp_path / "mine.toml"
    preset.write_text('fps = "50"\ncrf = 22\nmute = true\n')
    assert run("video", source, "--preset-file", preset)[0] == 0
    assert run("video", source, "--preset-file", preset, "--crf", 33)[0] == 0
    assert run("video", source, "--factor", 4, "--preset-file", preset)[0] == 0
    assert [each.model for each, _ in jobs] == ["sepconv"] * 3
    results = [
        (each.retiming.factor, each.retiming.fps, each.encoding.crf, each.encoding.mute)
        for _, each in jobs
    ]
    assert results == [(None, 50, 22, True), (None, 50, 33, True), (4, None, 22, True)]


@pytest.mark.parametrize("quality_first", [True, False])
def test_quality_on_the_command_line_overrides_a_preset(
    run: Run, source: Path, jobs: Jobs, quality_first: bool
) -> None:
    quality, preset = ["--quality", "best"], ["--preset-file", "phone"]
    arguments = quality + preset if quality_first else preset + quality
    assert run("video", source, *arguments)[0] == 0
    interpolation, options = jobs[0]
    assert (interpolation.ensemble, options.encoding.crf, options.retiming.fps) == (4, 12, 60)


def test_quality_in_a_preset_sets_the_options_that_the_preset_does_not(
    run: Run, source: Path, jobs: Jobs, configuration: Path, tmp_path: Path
) -> None:
    configuration.write_text("crf = 11\n")
    preset = tmp_path / "mine.toml"
    preset.write_text('quality = "best"\nensemble = 2\n')
    assert run("video", source, "--preset-file", preset)[0] == 0
    interpolation, options = jobs[0]
    assert (interpolation.ensemble, options.encoding.crf) == (2, 12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crv = 20\n", "no option 'crv' of any command: choose from "),
        ("crf = = 2\n", "--preset-file: "),
        ("[dataset.create]\nsize = 64\n", "has no option of video"),
        (None, "there is no such preset or file: choose from anime, film60, phone"),
    ],
)
def test_an_invalid_preset_is_refused_with_the_remedy(
    run: Run, source: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    preset = tmp_path / "mine.toml"
    if text:
        preset.write_text(text)
    status, _, errors = run("video", source, "--preset-file", preset)
    assert (status, message in errors) == (1, True), errors


def test_a_preset_with_only_video_options_is_refused_for_images(run: Run, tmp_path: Path) -> None:
    status, _, errors = run("image", "a.png", "b.png", "--preset-file", "film60")
    assert (status, "film60 has no option of image" in errors) == (1, True)
