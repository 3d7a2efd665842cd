"""The process of the command line keeps freed memory."""

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
    """Return the number of page faults for each of 60 successively allocated tensors of 64 MB."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")
    }
    command = [sys.executable, "-c", COUNT]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(line) for line in completed.stdout.split()]


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is configured to keep memory"
)
def test_freed_memory_is_reused_for_the_next_tensor() -> None:
    faults = page_faults()
    assert faults[0] > 1000
    # A small allocation may split a freed block, which is then too small for the next tensor;
    # after some tensors, the remainders are sufficient for small allocations.
    assert median(faults[20:]) < 100
