import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import typer
from helpers.training import toy

import midframe
from midframe import cli
from midframe.cli import shared
from midframe.cli import video as video_commands
from midframe.cli.diagnostics import BUG_STATUS
from midframe.cli.options import read_video_options
from midframe.errors import DatasetError
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import read_image, write_image
from midframe.video.report import VideoReport

Render = Callable[..., np.ndarray]


@pytest.fixture
def pair(tmp_path: Path, frame: Render) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for time, path in enumerate(paths):
        write_image(path, frame(2 * time))
    return paths


def test_the_version_is_shown(run: Callable) -> None:
    assert run("--version") == (0, f"midframe {midframe.__version__}\n", "")


def test_a_video_is_doubled(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path, tiny_weights: Path
) -> None:
    source = render_video(frames=5)
    status, output, _ = run("video", source, "--model", tiny_weights)
    assert status == 0
    assert "in-x2.mp4: 10 frames from 5: 5 kept, 4 interpolated, 1 held, 0 cuts" in output
    assert (tmp_path / "in-x2.mp4").exists()


def test_a_middle_picture_is_made(
    run: Callable, pair: tuple[Path, Path], tmp_path: Path, tiny_weights: Path
) -> None:
    status, output, _ = run("image", *pair, "--model", tiny_weights)
    assert status == 0
    assert output.strip() == str(tmp_path / "a-mid.png")
    expected = Interpolator(str(tiny_weights)).interpolate(*map(read_image, pair))
    assert np.array_equal(read_image(tmp_path / "a-mid.png"), expected)


def test_several_pictures_are_numbered(
    run: Callable, pair: tuple[Path, Path], tmp_path: Path, tiny_weights: Path
) -> None:
    status, output, _ = run(
        "image", *pair, tmp_path / "m.png", "--count", 3, "--model", tiny_weights
    )
    assert status == 0
    assert [Path(line).name for line in output.split()] == ["m-1.png", "m-2.png", "m-3.png"]
    assert all((tmp_path / f"m-{n}.png").exists() for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("words", "complaint"),
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
        (["video", "{dir}/in.mp4", "--device", "abacus"], "'abacus' is not available"),
        (["video", "{dir}/in.mp4", "--model", "nosuch"], "no weights 'nosuch'"),
        (["image", "{dir}/a.png", "{dir}/missing.png"], "missing.png does not exist"),
        (["image", "{dir}/a.png", "{dir}/small.png"], "a.png is 96x64"),
        (["image", "{dir}/a.png", "{dir}/text.mp4"], "cannot be read as a picture"),
        (["image", "{dir}/a.png", "{dir}/b.png", "{dir}/small.png"], "small.png exists"),
        (
            ["image", "{dir}/a.png", "{dir}/b.png", "{dir}/a.png", "--overwrite"],
            "is an input: name another OUT",
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
    frame: Render, tiny_weights: Path, words: list[str], complaint: str,
) -> None:  # fmt: skip
    render_video(frames=3)
    render_video("two.mp4", frames=3)
    (tmp_path / "text.mp4").write_text("no video")
    write_image(tmp_path / "small.png", frame(0, 32, 48))
    (tmp_path / "x").mkdir()
    before = sorted(tmp_path.rglob("*"))
    words = [word.format(dir=tmp_path) for word in words]
    if words[0] in ("video", "image") and "--model" not in words:
        words += ["--model", str(tiny_weights)]
    status, _, errors = run(*words)
    lines = [line for line in errors.splitlines() if line.startswith("midframe: ")]
    assert status == 1
    assert len(lines) == 1
    assert complaint in lines[0]
    assert words[0] != "video" or errors.count("\n") == 1  # and no bar
    assert "Traceback" not in errors
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [["nosuch"], ["video"], ["image", "a.png"], ["video", "a.mp4", "--factor", "two"]]
)
def test_wrong_usage_is_status_2(run: Callable, words: list[str]) -> None:
    assert run(*words)[0] == 2


def test_scenes_are_scored(
    run: Callable, tmp_path: Path, frame: Render, tiny_weights: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file, time in (("frame10.png", 0), ("frame10i11.png", 1), ("frame11.png", 2)):
            write_image(tmp_path / name / file, frame(time))
    status, output, _ = run(
        "evaluate", tmp_path, "--model", tiny_weights, "--json", "--save", tmp_path / "made"
    )
    rows = json.loads(output)
    assert status == 0
    assert [row["scene"] for row in rows] == ["one", "two", "mean", "median"]
    assert set(rows[0]) == {"scene", "group", "tiny", "repeat", "average", "minterpolate"}
    assert (tmp_path / "made" / "interpolated" / "one.png").exists()
    assert (tmp_path / "made" / "index.html").exists()
    assert "mean" in run("evaluate", tmp_path, "--model", tiny_weights)[1]


@pytest.mark.slow
def test_a_researchers_way_through_the_commands(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    clips, dataset, config = tmp_path / "clips", tmp_path / "set", tmp_path / "toy.toml"
    clips.mkdir()
    for index in range(2):
        made = render_video(f"clip{index}.mp4", frames=12, size=(96, 128), sound=False)
        made.rename(clips / made.name)
    assert (
        run("dataset", "create", clips, dataset, "--size", 64, "--per-clip", 20, "--workers", 1)[0]
        == 0
    )
    status, output, _ = run("dataset", "show", dataset)
    assert status == 0
    assert "contact.jpg" in output
    network = json.dumps(toy(dataset).network)
    config.write_text(
        f'dataset = "{dataset}"\nsteps = 20\nbatch = 2\ncrops = [[0.0, 32]]\n'
        "workers = 0\nevaluate_every = 20\n"
    )
    status, output, _ = run(
        "train", config, "--run", tmp_path / "run", "--set", f"network={network}"
    )
    assert status == 0
    assert "patch_psnr" in output
    assert run("curves", tmp_path / "run")[0] == 0


@pytest.mark.parametrize("option", ["--random-patches", "--plain"])
def test_the_old_name_of_random_patches_is_accepted_but_not_shown(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    configs = []

    def create(videos: Path, out: Path, config: Any, **_: Any) -> dict[str, Any]:
        configs.append(config)
        raise DatasetError("enough")

    monkeypatch.setattr("midframe.data.create.create_dataset", create)
    run("dataset", "create", tmp_path, tmp_path / "set", option, 7)
    assert configs[0].random_patches == 7
    assert "--plain" not in run("dataset", "create", "--help")[1]


def test_models_are_listed(run: Callable) -> None:
    assert "sepconv" in run("models")[1]


def test_a_missing_extra_is_named(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    monkeypatch.setattr(cli, "app", without)
    status, _, errors = run("dataset", "show", "set")
    assert status == 1
    assert "needs cv2: pip install 'midframe[train]'" in errors


def test_rates_and_a_report_from_the_command_line(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=6)
    for options, name in (
        (["--fps", "30000/1001"], "in-30000-1001fps.mp4"),
        (["--slow", "2.5"], "in-slow2.5.mp4"),
    ):
        words = [
            "video",
            str(source),
            *options,
            "--model",
            str(tiny_weights),
            "--report",
            str(tmp_path / "r.json"),
        ]
        status, output, errors = run(*words)
        assert status == 0, errors
        assert (tmp_path / name).exists()
        assert "largest timing error" in output
        assert json.loads((tmp_path / "r.json").read_text())["problems"] == []


def test_a_video_is_scored_from_the_command_line(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    status, output, _ = run("score", str(render_video(frames=9)), "--model", str(tiny_weights))
    assert status == 0
    assert "minterpolate" in output
    assert (tmp_path / "in-score" / "worst-1.png").exists()


def test_the_doctor_answers(run: Callable) -> None:
    status, output, _ = run("doctor")
    assert status == 0
    assert "encoders" in output


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
def test_a_result_without_a_name_is_called_after_its_source(
    source: str, codec: str | None, target: str
) -> None:
    context = typer.Context(typer.main.get_command(cli.app).commands["video"])
    request = read_video_options(context, codec=codec)
    assert video_commands.default_target(Path(source), request) == Path(target)


def test_a_result_of_a_codec_gets_a_container_that_holds_it(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=3)
    for codec, name in (("prores", "in-x2.mov"), ("ffv1", "in-x2.mkv")):
        assert run("video", source, "--codec", codec, "--model", tiny_weights)[0] == 0
        assert (tmp_path / name).exists()


def test_a_finished_result_is_done(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path
) -> None:
    source = render_video(frames=3)
    words = ["video", source, source.with_name("o.mp4"), "--model", tiny_weights]
    assert run(*words, "--report", source.with_name("r.json"))[0] == 0
    report = source.with_name("r.json").read_text()
    facts = json.loads(report)
    assert [Path(facts[name]).name for name in ("source", "result")] == [source.name, "o.mp4"]
    assert facts["options"]["model"] == str(tiny_weights)
    assert facts["midframe"] == midframe.__version__
    status, output, _ = run(*words, "--resume", "--report", source.with_name("r.json"))
    assert (
        status,
        output.endswith("o.mp4 is already complete: it was made with the same options\n"),
    ) == (0, True)
    assert source.with_name("r.json").read_text() == report
    assert run(*words, "--resume", "--factor", 3)[0] == 1


def test_a_report_is_written_with_the_problems_of_a_result(
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


def test_names_are_printed_as_they_are_and_in_one_line(
    run: Callable, render_video: Callable[..., Path], tiny_weights: Path, tmp_path: Path
) -> None:
    source = render_video(frames=3).rename(tmp_path / "[bold]a\nb.mp4")
    status, output, _ = run("video", source, "--model", tiny_weights)
    assert status == 0
    assert "[bold]a\\nb-x2.mp4: 6 frames from 3" in output


def test_a_text_of_one_line_is_one() -> None:
    assert (
        shared.one_line("a\nb\r\tc\x1b[31m\udcff\u2028é 漢") == r"a\nb\r\tc\x1b[31m\udcff\u2028é 漢"
    )


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, 130), (SystemExit(130), 130), (SystemExit(2), 2)]
)
def test_an_interrupted_command_has_the_status_that_shells_know(
    run: Callable, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def ended(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "app", ended)
    assert run("video")[0] == status


def test_an_error_of_ffmpeg_is_not_blamed_on_a_place(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(**_: object) -> None:
        av.error.err_check(-errno.EOPNOTSUPP)

    monkeypatch.setattr(cli, "app", failing)
    status, _, errors = run("video")
    assert status == BUG_STATUS
    assert "another place" not in errors


@pytest.mark.parametrize("words", [(), ("dataset",)])
def test_without_a_command_the_help_is_printed(run: Callable, words: tuple[str, ...]) -> None:
    status, shown, _ = run(*words)
    assert (status, "Usage:" in shown) == (2, True)


def test_a_result_without_an_ending_is_refused(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    status, _, errors = run("video", render_video(frames=2), tmp_path / "x3")
    assert (status, "x3.mp4, or images as in" in errors) == (1, True)
