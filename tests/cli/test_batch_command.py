import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(render_video: Callable[..., Path], tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    render_video("in/a.mp4", frames=3, sound=False)
    render_video("in/b.mp4", frames=3, sound=False)
    return tmp_path / "in"


@pytest.mark.slow
def test_a_folder_is_interpolated_and_failures_end_with_status_1(run: Run, folder: Path) -> None:
    out = folder.parent / "out"
    status, output, _ = run("batch", folder, out, "--factor", 3, "--tile", 0)
    assert (status, output.splitlines()[-1]) == (0, "2 done")
    (folder / "bad.mp4").write_text("no video")
    status, output, errors = run("batch", folder, out, "--factor", 3, "--tile", 0)
    assert (status, output.splitlines()[-1]) == (1, "2 already done, 1 failed")
    assert "midframe: failed: " in errors
    assert errors.splitlines()[-1] == "midframe: 1 of 3 videos failed or are damaged"


def test_losses_and_skipped_files_of_a_batch_are_reported(run: Run, folder: Path) -> None:
    (folder / "notes.txt").touch()
    (folder / "b.mp4").unlink()
    status, _, errors = run("batch", folder, folder.parent / "out", "--fps", 20, "--tile", 0)
    assert status == 0
    assert "skipped files without the suffix of a video: 1 .txt" in errors
    assert "  warning: " in errors
    assert "a whole --factor, or --vfr, keeps all" in errors


def test_a_dry_run_prints_a_table_and_writes_nothing(run: Run, folder: Path) -> None:
    (folder / "bad.mp4").write_text("no video")
    status, output, errors = run("batch", folder, folder.parent / "out", "--dry-run")
    assert status == 1
    assert "96x64" in output
    assert "fails" in output
    assert "1 of 3 videos would fail" in errors
    assert "bad.mp4 cannot be opened as a video" in errors
    assert not (folder.parent / "out").exists()


def test_results_of_sources_that_were_renamed_are_reported(run: Run, folder: Path) -> None:
    out = folder.parent / "out"
    (folder / "b.mp4").rename(folder / "sub.mp4")
    options = ("--model", "flowsep-small", "--tile", 0)
    assert "without a source" not in run("batch", folder, out, *options)[2]
    (folder / "sub.mp4").rename(folder / "c.mp4")
    _, _, errors = run("batch", folder, out, *options, "--dry-run")
    assert f"{out} has 1 results without a source in {folder}: sub.mp4" in errors


def test_a_watched_folder_prints_why_a_video_failed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    monkeypatch.setattr("midframe.batch.run.watch", lambda find: iter(find()))
    _, _, errors = run("batch", tmp_path / "in", tmp_path / "out", "--watch")
    assert "bad.mp4 cannot be opened as a video" in errors


def test_a_folder_without_videos_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, _, errors = run("batch", tmp_path / "empty", tmp_path / "out")
    assert (status, "contains no videos" in errors) == (1, True)


def test_video_accepts_several_videos_with_an_output_folder(run: Run, folder: Path) -> None:
    out = folder.parent / "out"
    files = (folder / "a.mp4", folder / "b.mp4")
    status, output, _ = run("video", *files, "--output-dir", out)
    assert (status, output.splitlines()[-1]) == (0, "2 done")
    assert sorted(path.name for path in out.glob("*.mp4")) == ["a.mp4", "b.mp4"]


def test_several_videos_without_an_output_folder_are_refused(run: Run, folder: Path) -> None:
    files = (folder / "a.mp4", folder / "b.mp4", folder / "c.mp4")
    status, _, errors = run("video", *files, "--overwrite")
    assert (status, "3 names are given" in errors) == (1, True)
    status, _, errors = run("video", files[0], "--output-dir", folder, "--report", folder / "r")
    assert (status, "--report is for a single video" in errors) == (1, True)


def test_progress_as_json_is_refused_for_several_videos(run: Run, folder: Path) -> None:
    arguments = "video", folder / "a.mp4", "--output-dir", folder.parent / "out", "--progress"
    status, _, errors = run(*arguments, "json")
    assert (status, "--progress json is for a single video" in errors) == (1, True)
    status, output, errors = run(*arguments, "none")
    assert (status, output.splitlines()[-1], "━" in errors) == (0, "1 done", False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://films/in", "out"], "s3://films/in is an address: give --ray, or name a folder"),
        (["in", "out", "--ray-cores", "2"], "--ray-cores is for the workers of a cluster"),
        (["in", "out", "--ray", "auto", "--dry-run"], "--dry-run estimates for this machine alone"),
        (["s3://films/in", "out", "--ray", "auto", "--watch"], "--watch needs a folder"),
        (["in", "out", "--ray", "ray://host:1"], "run midframe on a machine of the cluster"),
        (["in", "out", "--ray", "auto", "--model", "nosuch"], "nosuch"),
    ],
)
def test_options_that_a_cluster_does_not_support_are_refused_with_the_remedy(
    run: Run, arguments: list[str], message: str
) -> None:
    pytest.importorskip("ray")
    status, _, errors = run("batch", *arguments)
    assert (status, message in errors) == (1, True), errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_an_unreachable_cluster_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    messages = {
        "127.0.0.1:1": "no Ray cluster can be reached (Connection refused)",
        "nowhere": "no Ray cluster can be reached",
    }
    # in new processes: this one may be connected to the cluster of other tests
    command = [sys.executable, "-m", "midframe", "batch", "in", "out", "--ray"]
    processes = [
        subprocess.Popen([*command, address], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for address in messages
    ]
    for process, message in zip(processes, messages.values(), strict=True):
        _, errors = process.communicate()
        assert (process.returncode, message in errors) == (1, True), errors
        assert len(errors.splitlines()) == 1
