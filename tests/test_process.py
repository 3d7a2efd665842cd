"""The command line's process keeps memory."""

import os
import platform
import subprocess
import sys
from statistics import median

import pytest

COUNT = """
import resource
import midframe.__main__
import midframe.video.pipeline  # what a command loads
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(60):
    before = faults()
    torch.ones(16_000_000)
    print(faults() - before)
"""


def page_faults() -> list[int]:
    """How often the system gave a page of memory for each of 60 tensors of 64 MB, one after
    another."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")
    }
    command = [sys.executable, "-c", COUNT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_is_kept_for_the_next_tensor() -> None:
    faults = page_faults()
    assert faults[0] > 1000
    # Something small may be cut from a freed block, which is too short for the next tensor then;
    # after some tensors the pieces left over are enough for what is small.
    assert median(faults[20:]) < 100
