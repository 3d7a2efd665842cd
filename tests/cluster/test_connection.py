import pytest

pytest.importorskip("ray")

from midframe.cluster.connection import WorkerAllocation, cluster_connection, divide_machines
from midframe.errors import ClusterError


@pytest.mark.parametrize(
    ("machines", "cores", "expected"),
    [
        ([{"CPU": 8.0}, {"CPU": 6.0}, {}], None, WorkerAllocation(3, 4, 0)),
        ([{"CPU": 8.0}, {"CPU": 6.0}], 2, WorkerAllocation(7, 2, 0)),
        ([{"CPU": 2.0}, {"CPU": 8.0}], None, WorkerAllocation(5, 2, 0)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0}], None, WorkerAllocation(4, 4, 1)),
        ([{"CPU": 2.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}], None, WorkerAllocation(3, 1, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}], 8, WorkerAllocation(2, 8, 1)),
    ],
)
def test_each_gpu_or_group_of_cores_gets_a_worker(
    machines: list[dict[str, float]], cores: int | None, expected: WorkerAllocation
) -> None:
    assert divide_machines(machines, cores) == expected


def test_machines_with_too_few_cores_for_a_worker_are_refused() -> None:
    with pytest.raises(ClusterError, match="no machine of the cluster has 8 cores"):
        divide_machines([{"CPU": 4.0}], 8)


def test_a_client_connection_is_refused() -> None:
    with pytest.raises(ClusterError, match="run midframe on a machine of the cluster"):
        cluster_connection("ray://1.2.3.4:10001").__enter__()
