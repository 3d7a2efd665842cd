"""A Ray cluster of three machines, simulated on this one, and an S3 server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cuts import render_scenes
from helpers.machines import OPTIONS, STORE_BYTES, add_machine

from midframe.models.checkpoint import build_model, save_model
from midframe.options import InterpolationOptions
from midframe.video.pipeline import convert_video

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start a local S3 server, set its address in the environment and return that of a bucket."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem().mkdir("videos")
        yield "s3://videos"
    server.stop()


@pytest.fixture(scope="session")
def machines(s3: str) -> Iterator[Any]:
    """Connect to a cluster: a head without cores, and two machines of two cores each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # or other tests starve the workers
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(2):
                add_machine(cluster)
            ray.init(address=cluster.address, log_to_driver=False, namespace="midframe")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    save_model(build_model("sepconv", {"widths": [4, 8, 8], "taps": 9}), path, {"data": "none"})
    return path


@pytest.fixture(scope="session")
def pool(machines: Any, weights: Path) -> Iterator[Any]:
    """Start two workers, which all tests share."""
    from midframe.cluster.connection import WorkerAllocation
    from midframe.cluster.pool import Pool

    pool = Pool(InterpolationOptions(str(weights)), WorkerAllocation(2, 1, 0))
    pool.network_properties()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a video of six segments in a folder of its own."""
    return render_scenes(tmp_path_factory.mktemp("in") / "a.mp4", scenes=6)


@pytest.fixture(scope="session")
def expected(source: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpolate the video on one machine, as a reference."""
    path = tmp_path_factory.mktemp("alone") / "a.mp4"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the workers
    try:
        report = convert_video(source, path, InterpolationOptions(str(weights)), OPTIONS)
    finally:
        torch.set_num_threads(threads)
    assert not report.problems
    return path


assert "midframe-tests-" in os.environ["MIDFRAME_CACHE"], "workers inherit it"
