"""Process settings of the command line: how threads wait, how memory is kept, and scheduling of
libraries' threads."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SPINS = "10000"
"""PyTorch's threads (GNU OpenMP) spin for some milliseconds while they wait for each other: time
that decoding, encoding and Halide's threads need. Videos became a fifth faster with shorter
spinning."""
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`."""
LARGEST_KEPT = 1 << 30
"""Bytes of the largest freed block of memory that is kept."""


def configure_process() -> None:
    """Limit the busy waiting of threads, and keep freed memory for later allocations.

    glibc otherwise returns large blocks to the system, which clears them page by page for the next
    tensor: a tenth of the time of a video, and more of a training's. Threads share one arena, since
    others keep no large blocks. Must be called before PyTorch is imported, for OpenMP reads the
    environment when it is loaded.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    if platform.libc_ver()[0] == "glibc" and not any(
        name.startswith("MALLOC_") for name in os.environ
    ):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ARENA_MAX, 1)
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, -1)  # never


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "HL_NUM_THREADS")
"""Environment variables that PyTorch, NumPy and Halide read when they are loaded."""


def limit_threads(number: int) -> None:
    """Limit the threads that compute, of PyTorch, NumPy and Halide; before they are imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(number)))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(number)


CAP_SYS_NICE = 23
"""The capability of Linux with which a thread may make threads real-time."""
CAPABILITY_VERSION = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("thread", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def no_real_time_threads() -> Iterator[None]:
    """Refuse real-time scheduling to the threads that this thread starts in the block, on Linux.

    Where a process may (as root, as in most containers, or with a limit on RTPRIO), SVT-AV1 gives
    all its threads the highest real-time priority. They spin while they wait for each other, and
    can starve the thread that they wait for, and the whole machine.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    limits = resource.getrlimit(resource.RLIMIT_RTPRIO)
    capable = _set_capable(CAP_SYS_NICE, False)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, limits[1]))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_RTPRIO, limits)
        if capable:
            _set_capable(CAP_SYS_NICE, True)


def _set_capable(capability: int, wanted: bool) -> bool:
    """Switch a capability below 32 of this thread on or off; return whether it was on."""
    try:
        libc = ctypes.CDLL(None)
        get, set_ = libc.capget, libc.capset
    except (OSError, AttributeError):
        return False
    header, found = _CapabilityHeader(CAPABILITY_VERSION, 0), (_Capabilities * 2)()
    if get(ctypes.byref(header), found):
        return False
    was = bool(found[0].effective >> capability & 1)
    mask = 1 << capability
    found[0].effective = found[0].effective | mask if wanted else found[0].effective & ~mask
    set_(ctypes.byref(header), found)
    return was
