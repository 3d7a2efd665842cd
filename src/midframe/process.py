"""How a process that does midframe's work alone waits and keeps memory, as the command line's does."""

import ctypes
import os
import platform

SPINS = "10000"
"""PyTorch's threads (GNU OpenMP) wait for each other without rest, some milliseconds long: time that decoding, encoding
and Halide's threads want. Videos became a fifth faster with shorter waits."""
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`."""
LARGEST_KEPT = 1 << 30
"""Bytes of the largest piece of memory that is kept when it is free."""


def settle() -> None:
    """Have threads wait actively for a moment only, and memory that is free be kept for what comes next.

    glibc otherwise gives large pieces back to the system, which clears them page by page when the next tensor wants
    them: a tenth of the time of a video, and more of a training's. Threads share one arena, since others keep no large
    pieces. Must be called before PyTorch is imported, for OpenMP reads the environment when it is loaded.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    if platform.libc_ver()[0] == "glibc" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ARENA_MAX, 1)
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, -1)  # never
