import pytest

pytest.importorskip("ray")

from midframe.cluster.connection import Workers, connected, divide
from midframe.errors import ClusterError


@pytest.mark.parametrize(
    ("machines", "cores", "expected"),
    [
        ([{"CPU": 8.0}, {"CPU": 6.0}, {}], None, Workers(3, 4, 0)),
        ([{"CPU": 8.0}, {"CPU": 6.0}], 2, Workers(7, 2, 0)),
        ([{"CPU": 2.0}, {"CPU": 8.0}], None, Workers(5, 2, 0)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0}], None, Workers(4, 1, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}], 8, Workers(2, 8, 1)),
    ],
)
def test_there_is_a_worker_for_each_card_or_for_every_few_cores(
    machines: list[dict[str, float]], cores: int | None, expected: Workers
) -> None:
    assert divide(machines, cores) == expected


def test_machines_without_room_for_a_worker_are_refused() -> None:
    with pytest.raises(ClusterError, match="no machine of the cluster has 8 cores"):
        divide([{"CPU": 4.0}], 8)


def test_a_client_connection_is_refused() -> None:
    with pytest.raises(ClusterError, match="run midframe on a machine of the cluster"):
        connected("ray://1.2.3.4:10001").__enter__()
