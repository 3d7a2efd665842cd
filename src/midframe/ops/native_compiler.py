"""Compiling Halide pipelines to object files, several at the same time.

Halide holds Python's global lock while it compiles to a file. Each pipeline is therefore compiled
in a process of its own, which runs this module and imports nothing but Halide. Where no process can
be started, this process compiles.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import halide as hl

COMPILE_SECONDS = 600
"""Seconds after which a process is ended."""

MAX_PROCESSES = 4
"""Maximum number of processes at the same time; each needs a quarter of a gigabyte."""

_processes = BoundedSemaphore(min(MAX_PROCESSES, os.cpu_count() or 1))
_compiling = Lock()
"""Held while this process compiles."""


def compile_pipeline(
    path: Path, result: Any, arguments: Sequence[Any], symbol: str, target: str
) -> None:
    """Compile a pipeline to an object file.

    Args:
        path: of the object file.
        result: the function of Halide that the pipeline computes.
        arguments: images and parameters, in the order of the call.
        symbol: name of the compiled function.
        target: of Halide.
    """
    names = [each.name() for each in arguments]
    job = {"path": str(path), "target": target, "symbol": symbol, "arguments": names}
    _run_process(
        job,
        hl.serialize_pipeline(hl.Pipeline(result)),
        lambda: result.compile_to_object(str(path), list(arguments), symbol, hl.Target(target)),
    )


def compile_runtime(path: Path, target: str) -> None:
    """Compile Halide's runtime to an object file; arguments as in `compile_pipeline`."""
    _run_process(
        {"path": str(path), "target": target},
        b"",
        lambda: hl.compile_standalone_runtime(str(path), hl.Target(target)),
    )


def _run_process(job: dict[str, Any], pipeline: bytes, compile_here: Callable[[], object]) -> None:
    """Run a process that compiles; call `compile_here` if that fails."""
    try:
        if getattr(sys, "frozen", False) or not sys.executable:
            raise FileNotFoundError("there is no Python interpreter")
        with _processes:
            subprocess.run(
                [sys.executable, "-P", __file__],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                input=json.dumps(job).encode() + b"\n" + pipeline,
                capture_output=True,
                check=True,
                timeout=COMPILE_SECONDS,
            )
    except (OSError, subprocess.SubprocessError):
        with _compiling:
            compile_here()


def _compile_input() -> None:
    """Compile what is in standard input: a job as a line of JSON, and its serialised pipeline, or
    nothing for the runtime."""
    job = json.loads(sys.stdin.buffer.readline())
    path, target = job["path"], hl.Target(job["target"])
    if "arguments" not in job:
        hl.compile_standalone_runtime(path, target)
        return
    pipeline = hl.deserialize_pipeline(sys.stdin.buffer.read())
    known = {each.name: each for each in pipeline.infer_arguments()}
    arguments = [known[name] for name in job["arguments"]]
    pipeline.compile_to_object(path, arguments, job["symbol"], target)


if __name__ == "__main__":
    _compile_input()
