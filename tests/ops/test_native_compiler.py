"""Compilation of Halide pipelines in processes of their own."""

import shutil
import sys
from pathlib import Path

import halide as hl
import pytest

from midframe.ops import native_compiler
from midframe.ops.native_compiler import compile_pipeline, compile_runtime

TARGET = str(hl.get_host_target())
OBJECT = b"\x7fELF"


def compile_scaling(path: Path) -> bytes:
    """Compile a pipeline that multiplies by a number, and return the start of the object file."""
    x = hl.Var("x")
    image, factor = hl.ImageParam(hl.Float(32), 1), hl.Param(hl.Float(32))
    result = hl.Func("result")
    result[x] = image[x] * factor
    compile_pipeline(path, result, [factor, image], "scale", f"{TARGET}-no_runtime")
    content = path.read_bytes()
    assert b"scale" in content
    return content[: len(OBJECT)]


class Forbidden:
    """A lock that must not be taken."""

    def __enter__(self) -> None:
        pytest.fail("this process compiles, which blocks all of its threads")

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pipelines are compiled in memory")
def test_another_process_compiles_pipelines_and_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_compiler, "_compiling", Forbidden())
    assert compile_scaling(tmp_path / "pipeline.o") == OBJECT
    compile_runtime(tmp_path / "runtime.o", TARGET)
    assert (tmp_path / "runtime.o").read_bytes().startswith(OBJECT)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pipelines are compiled in memory")
@pytest.mark.parametrize("interpreter", ["", "/does/not/exist", shutil.which("false")])
def test_without_a_process_that_works_this_process_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    assert compile_scaling(tmp_path / "pipeline.o") == OBJECT
