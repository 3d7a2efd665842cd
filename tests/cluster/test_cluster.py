"""Videos on a real Ray cluster of three machines, which are processes here."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from helpers.machines import OPTIONS, add_machine
from helpers.video import frames_of, planes

pytest.importorskip("ray")

from midframe.batch.run import BatchVideoResult
from midframe.cluster.batch import ClusterBatch
from midframe.cluster.connection import WorkerAllocation
from midframe.cluster.pool import Pool
from midframe.cluster.worker import SUFFIX, Worker
from midframe.errors import ClusterError
from midframe.options import InterpolationOptions

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow


def run_batch(pool: Any, folder: object, out: object) -> list[BatchVideoResult]:
    """Interpolate the videos of a folder on a cluster."""
    batch = ClusterBatch(str(folder), str(out), pool, InterpolationOptions(), OPTIONS)
    try:
        return list(batch.run(batch.find_videos(lambda path: path.suffix)))
    finally:
        batch.close()


def check_equal(first: Path, second: Path) -> None:
    """Check that two videos have the same frames at the same times."""
    for before, after in zip(frames_of(first), frames_of(second), strict=True):
        assert (before.pts, before.time_base) == (after.pts, after.time_base)
        assert all(map(np.array_equal, planes(before), planes(after)))


def rendering_processes() -> list[int]:
    """Return the ids of the worker processes that render, by the titles that Ray gives them."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::Worker.render" in path.read_bytes():
                processes.append(int(path.parent.name))
        except OSError:
            continue  # it has just ended
    return processes


def machine_of(machines: Any, process: int) -> Any:
    """Return the machine of a worker process: its parent is the raylet of the machine."""
    parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return next(
        each
        for each in machines.worker_nodes
        if parent in [process.process.pid for process in each.all_processes["raylet"]]
    )


@contextmanager
def during_rendering(out: Path, interfere: Callable[[int], None]) -> Iterator[None]:
    """Call a function with the id of a worker process that renders, once, as soon as the first
    segment of a video in the block is finished."""
    calls: list[bool] = []

    def watch() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not calls:
            if any(out.rglob(f"*{SUFFIX}")) and (rendering := rendering_processes()):
                interfere(rendering[0])
                calls.append(True)
            time.sleep(0.01)

    thread = Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert calls


def test_a_batch_on_a_cluster_gives_the_result_of_one_machine(
    run: Run, pool: Any, source: Path, expected: Path, weights: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.mp4").symlink_to(source)
    (folder / "bad.mp4").write_text("no video")
    arguments = ["--model", weights, "--encoder-option", "x264-params=mbtree=0", "--ray-cores", 1]
    status, output, errors = run("batch", folder, out, *arguments, "--ray", "auto")
    assert (status, sorted(output.splitlines()[-1].split(", "))) == (1, ["1 done", "1 failed"])
    assert "bad.mp4 cannot be opened as a video" in errors
    check_equal(out / "sub" / "a.mp4", expected)
    record = json.loads((out / ".midframe" / "sub" / "a.mp4.json").read_text())
    assert (record["report"]["frames_in"], record["report"]["frames_out"]) == (192, 384)
    assert record["report"]["problems"] == []
    remaining = {path.name for path in (out / ".midframe").rglob("*") if path.is_file()}
    assert remaining == {"a.mp4.json"}


def test_a_finished_video_is_not_rendered_again(
    pool: Any, source: Path, expected: Path, tmp_path: Path
) -> None:
    assert [each.status for each in run_batch(pool, source.parent, tmp_path)] == ["done"]
    check_equal(tmp_path / "a.mp4", expected)
    assert [each.status for each in run_batch(pool, source.parent, tmp_path)] == ["already done"]


def test_a_killed_worker_loses_only_its_segment(
    pool: Any, source: Path, expected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with during_rendering(tmp_path, lambda process: os.kill(process, signal.SIGKILL)):
        results = run_batch(pool, source.parent, tmp_path)
    assert [each.status for each in results] == ["done"], results
    assert caplog.text.count("a worker was lost") == 1
    check_equal(tmp_path / "a.mp4", expected)


def test_workers_that_cannot_start_are_reported(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Worker):
        def __init__(self, *_: object) -> None:
            raise ImportError("there is no midframe on this machine")

    monkeypatch.setattr("midframe.cluster.pool.Worker", Broken)
    broken = Pool(InterpolationOptions(), WorkerAllocation(1, 1, 0))
    with pytest.raises(ClusterError, match=r"(?s)cannot be started.*there is no midframe"):
        broken.network_properties()
    broken.close()


def test_rendering_puts_nothing_into_the_object_store(
    pool: Any, source: Path, expected: Path, tmp_path: Path
) -> None:
    import ray

    empty = created_bytes()
    full = [ray.put(np.zeros(2**20, np.uint8)) for _ in range(100)]
    before = created_bytes()
    assert before > empty
    results = run_batch(pool, source.parent, tmp_path)
    assert [each.status for each in results] == ["done"], results
    check_equal(tmp_path / "a.mp4", expected)
    assert created_bytes() == before
    assert len(full) == 100


def created_bytes() -> int:
    """Return the bytes of all objects ever created in the object stores of the cluster."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    here = ray.get_runtime_context().get_node_id()
    node = next(each for each in ray.nodes() if each["NodeID"] == here)
    state = get_state_from_address(ray.get_runtime_context().gcs_address)
    reply = get_memory_info_reply(state, node["NodeManagerAddress"], node["NodeManagerPort"])
    return int(reply.store_stats.cumulative_created_bytes)


def test_videos_of_an_s3_storage_are_read_and_written_there(
    pool: Any, s3: str, source: Path, expected: Path, tmp_path: Path
) -> None:
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False)
    system.put_file(str(source), "videos/in/sub/a.mp4")
    system.pipe_file("videos/in/bad.mp4", b"no video")
    results = run_batch(pool, f"{s3}/in", f"{s3}/out")
    assert {each.video.name: each.status for each in results} == {
        "bad.mp4": "failed",
        "sub/a.mp4": "done",
    }, results
    assert sorted(system.find("videos/out")) == [
        "videos/out/.midframe/sub/a.mp4.json",
        "videos/out/sub/a.mp4",
    ]
    system.get_file("videos/out/sub/a.mp4", str(tmp_path / "a.mp4"))
    check_equal(tmp_path / "a.mp4", expected)
    again = run_batch(pool, f"{s3}/in/", f"{s3}/out/")
    assert {each.video.name: each.status for each in again} == {
        "bad.mp4": "failed",
        "sub/a.mp4": "already done",
    }


def test_a_machine_that_is_removed_loses_only_its_segment(
    pool: Any,
    machines: Any,
    source: Path,
    expected: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def remove(process: int) -> None:
        machines.remove_node(machine_of(machines, process), allow_graceful=False)

    with during_rendering(tmp_path, remove):
        results = run_batch(pool, source.parent, tmp_path)
    add_machine(machines)
    assert [each.status for each in results] == ["done"], results
    assert "a worker was lost" in caplog.text
    check_equal(tmp_path / "a.mp4", expected)
