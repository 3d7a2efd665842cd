"""The processes of a training are those that its settings describe."""

import pytest

from midframe.errors import ConfigError
from midframe.training.config import TrainConfig
from midframe.training.processes import check_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(("devices", "machines", "started"), [(1, 1, 2), (2, 1, 1), (2, 2, 2)])
def test_torchrun_with_another_number_of_processes_is_refused(
    devices: int, machines: int, started: int
) -> None:
    config = TrainConfig(devices=devices, machines=machines)
    with pytest.raises(ConfigError, match=f"started {started} processes, but devices"):
        check_processes(config, {**TORCHRUN, "WORLD_SIZE": str(started)})


def test_several_machines_need_a_program_that_starts_their_processes() -> None:
    config = TrainConfig(machines=2)
    with pytest.raises(ConfigError, match="by torchrun, or remove machines"):
        check_processes(config, {})
    check_processes(config, {**TORCHRUN, "WORLD_SIZE": "2"})
    check_processes(config, {"SLURM_NTASKS": "2"})
    check_processes(TrainConfig(devices=2), {})
