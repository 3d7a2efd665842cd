"""The processes of a training on several devices."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import distributed

from midframe.errors import ConfigError, TrainingError
from midframe.training.config import TrainConfig

STARTED = ("LOCAL_RANK", "SLURM_NTASKS", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
"""Variables of the environment by which torchrun, Slurm and MPI number the processes they start."""


def check_processes(config: TrainConfig, environment: Mapping[str, str] = os.environ) -> None:
    """Check that the processes that were started are those that the settings describe.

    Raises:
        ConfigError: torchrun started another number of processes, or nothing starts those of the
            other machines, which Fabric would wait for without end.
    """
    wanted = config.devices * config.machines
    started = environment.get("WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in environment else None
    if started and int(started) != wanted:
        raise ConfigError(
            f"torchrun started {started} processes, but devices is {config.devices} and machines "
            f"{config.machines}: give --nproc-per-node {config.devices} --nnodes "
            f"{config.machines}, or set devices and machines"
        )
    if config.machines > 1 and not any(name in environment for name in STARTED):
        raise ConfigError(
            f"machines is {config.machines}, but nothing started the processes of the others: "
            "start the training on each machine by torchrun, or remove machines"
        )


@contextmanager
def report_killed_loader() -> Iterator[None]:
    """Raise a TrainingError if a process that loads data is killed: a handler of PyTorch raises its
    own error then, anywhere in a step, or the connection to the process is lost before."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(
            f"a process that loads data was killed, as for lack of memory ({str(error).strip()}): "
            "continue from the last checkpoint with --resume, with fewer workers"
        ) from error


def is_first_process() -> bool:
    """Return whether this process, of those that train together, is the one that reports."""
    return not distributed.is_initialized() or distributed.get_rank() == 0
