"""Process settings of the command line: busy waiting, memory allocation and thread priorities."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SPINS = "10000"
"""Value of GOMP_SPINCOUNT. By default PyTorch's threads (GNU OpenMP) busy-wait for some
milliseconds, which takes time from decoding, encoding and Halide's threads. With this value videos
are a fifth faster."""
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`."""
LARGEST_KEPT = 1 << 30
"""Largest block in bytes that glibc keeps after it is freed."""


def configure_process() -> None:
    """Limit the busy waiting of threads, and keep freed memory for later allocations.

    By default glibc returns large blocks to the system, which then clears new pages for the next
    tensor: 10 % of the time of a video, and more in training. Threads share one arena, because only
    the main arena keeps large blocks. Must be called before PyTorch is imported, because OpenMP
    reads the environment when it is loaded.
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
"""The Linux capability that allows real-time priorities."""
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
    """Deny real-time scheduling to threads that are started in the block (Linux).

    If it is permitted (to root, as in most containers, or by RLIMIT_RTPRIO), SVT-AV1 gives all its
    threads the highest real-time priority. They busy-wait for each other, and can starve the thread
    that they wait for, and the whole machine.
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
    header = _CapabilityHeader(CAPABILITY_VERSION, 0)
    found = (_Capabilities * 2)()
    if get(ctypes.byref(header), found):
        return False
    was = bool(found[0].effective >> capability & 1)
    mask = 1 << capability
    found[0].effective = found[0].effective | mask if wanted else found[0].effective & ~mask
    set_(ctypes.byref(header), found)
    return was
