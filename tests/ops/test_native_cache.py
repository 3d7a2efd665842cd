"""The cache of compiled pipelines: libraries are stored on disk and loaded if undamaged."""

import errno
import gc
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import halide as hl
import numpy as np
import pytest
import torch
from helpers.flowsep import TINY, frames

import midframe
from midframe.models.flowsep import FlowSep, compilation
from midframe.ops import native_cache
from midframe.ops.halide_tools import Pipeline
from midframe.ops.native_cache import LibraryCache, NativeFunction, open_cache

needs_linker = pytest.mark.skipif(
    sys.platform != "linux" or not any(map(native_cache.shutil.which, native_cache.LINKERS)),
    reason="no linker is installed",
)
x, y = hl.Var("x"), hl.Var("y")


_runtime: dict[str, bytes] = {}
"""The library of the Halide runtime, by name; it is compiled once for all tests."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Create a cache folder for this test, with the library of the Halide runtime."""
    path = tmp_path / "cache" / native_cache.FOLDER
    monkeypatch.setenv(native_cache.VARIABLE, str(path.parent))
    monkeypatch.setattr(native_cache, "_failed", Event())
    for function in (open_cache, native_cache._load_runtime_once):
        function.cache_clear()
    libraries = open_cache()
    if libraries and not _runtime:
        runtime = native_cache._load_runtime(libraries)
        _runtime[runtime.name] = runtime.read_bytes()
    for name, content in _runtime.items():
        if not (path / name).exists():  # a loaded library must not change
            (path / name).write_bytes(content)
            (path / name).chmod(0o600)
    yield path
    for function in (open_cache, native_cache._load_runtime_once):
        function.cache_clear()


def new_pipeline(identity: str = "scale") -> Pipeline:
    """Return a pipeline that multiplies an image by a number and adds an integer."""
    image, factor = hl.ImageParam(hl.Float(32), 2, "image"), hl.Param(hl.Float(32), "factor")
    offset, result = hl.Param(hl.Int(32), "offset"), hl.Func("result")
    result[x, y] = image[x, y] * factor + offset
    result.parallel(y).vectorize(x, 8, hl.TailStrategy.GuardWithIf)
    pipeline = Pipeline(result, factor, image, offset)
    pipeline.identity = (identity,)
    return pipeline


def run(pipeline: Pipeline) -> np.ndarray[Any, Any]:
    image = np.arange(60, dtype=np.float32).reshape(4, 15)
    result = np.zeros_like(image)
    pipeline(0.5, hl.Buffer(image), 3, hl.Buffer(result))
    assert np.array_equal(result, image / 2 + 3)
    return result


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the keys of the pipelines that are compiled."""
    keys: list[str] = []
    add = LibraryCache.add

    def record(self: LibraryCache, key: str, *arguments: Any) -> Path:
        if key != native_cache._key("runtime"):
            keys.append(key)
        return add(self, key, *arguments)

    monkeypatch.setattr(LibraryCache, "add", record)
    return keys


@needs_linker
def test_a_pipeline_is_compiled_once_and_loaded_afterwards(
    folder: Path, compiled: list[str]
) -> None:
    run(new_pipeline())
    assert len(compiled) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    native_cache._load_runtime_once.cache_clear()
    loaded = new_pipeline()
    run(loaded)
    assert isinstance(loaded._load(), NativeFunction)
    assert len(compiled) == 1
    run(new_pipeline("another"))
    assert len(compiled) == 2


@needs_linker
def test_several_threads_run_a_pipeline_at_the_same_time(folder: Path) -> None:
    pipeline = new_pipeline()
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: run(pipeline), range(40)))) == 40


@needs_linker
def test_a_buffer_that_is_too_small_raises_an_error(folder: Path) -> None:
    for identity in (("scale",), None):
        pipeline = new_pipeline()
        pipeline.identity = identity
        with pytest.raises(hl.HalideError, match="Input buffer image is accessed at 3"):
            pipeline(
                0.5,
                hl.Buffer(np.zeros((2, 15), np.float32)),
                3,
                hl.Buffer(np.zeros((4, 15), np.float32)),
            )


@needs_linker
def test_damaged_libraries_are_compiled_again(folder: Path, compiled: list[str]) -> None:
    run(new_pipeline())
    for path in folder.iterdir():  # replaced, since this process has loaded the files
        damaged = path.with_suffix(".new")
        damaged.write_bytes(path.read_bytes()[:-100])
        damaged.chmod(0o600)
        damaged.replace(path)
    native_cache._load_runtime_once.cache_clear()
    run(new_pipeline())
    assert len(compiled) == 2
    assert len(list(folder.glob("*.so"))) == 2


@needs_linker
def test_libraries_that_others_can_write_to_are_not_loaded(
    folder: Path, compiled: list[str]
) -> None:
    run(new_pipeline())
    for path in folder.iterdir():
        path.chmod(0o666)
    native_cache._load_runtime_once.cache_clear()
    run(new_pipeline())
    assert len(compiled) == 2


@needs_linker
@pytest.mark.parametrize(
    "obstacle", ["open folder", "file in its place", "no linker", "disabled", "macOS"]
)
def test_without_a_cache_pipelines_are_compiled_in_memory(
    folder: Path,
    compiled: list[str],
    obstacle: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_cache.cache_clear()
    if obstacle == "open folder":
        folder.chmod(0o777)
    elif obstacle == "file in its place":
        shutil.rmtree(folder)
        folder.write_text("")
    elif obstacle == "macOS":
        monkeypatch.setattr(native_cache, "sys", SimpleNamespace(platform="darwin"))
    elif obstacle == "no linker":
        monkeypatch.setattr(native_cache, "LINKERS", ())
    else:
        monkeypatch.setenv(native_cache.VARIABLE, "")
    with caplog.at_level(logging.DEBUG, "midframe"):
        run(new_pipeline())
        run(new_pipeline("another"))
    assert not compiled
    messages = [each.message for each in caplog.records if "compiled in memory" in each.message]
    assert len(messages) == 1


@needs_linker
def test_pipelines_are_compiled_in_memory_if_the_disk_is_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    def fail_allocation(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(*_: object) -> None:
        pytest.fail("Halide ends the process if it cannot write")

    monkeypatch.setattr(os, "posix_fallocate", fail_allocation)
    run(new_pipeline())
    with pytest.raises(OSError, match="No space left"):
        LibraryCache(folder, "cc").add("key", write)
    assert len(compiled) == 2
    assert {path.name for path in folder.iterdir()} == _runtime.keys()


@needs_linker
def test_a_failing_linker_is_called_only_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    monkeypatch.setattr(native_cache, "LINKERS", ("false",))
    open_cache.cache_clear()
    run(new_pipeline())
    run(new_pipeline("another"))
    assert len(compiled) == 1
    assert {path.name for path in folder.iterdir()} == _runtime.keys()


@needs_linker
def test_the_least_recently_used_libraries_are_deleted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("one", "two")):
        run(new_pipeline(name))
        for path in folder.glob("*.so"):
            os.utime(path, (number, number))
    sizes = [path.stat().st_size for path in folder.glob("*.so")]
    before = set(folder.glob("*.so"))
    margin = min(sizes) // 2  # the third library may be a little larger than the first
    monkeypatch.setattr(native_cache, "MAX_BYTES", sum(sizes) + margin)
    run(new_pipeline("three"))
    remaining = set(folder.glob("*.so"))
    assert len(remaining) == 3
    assert len(remaining & before) == 2
    native_cache._load_runtime_once.cache_clear()
    run(new_pipeline("three"))


@needs_linker
def test_pipelines_are_compiled_in_memory_after_the_linker_is_removed(
    folder: Path,
    compiled: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    libraries = LibraryCache(folder, str(folder / "removed"))
    monkeypatch.setattr(native_cache, "open_cache", lambda: libraries)
    with caplog.at_level(logging.DEBUG, "midframe"):
        run(new_pipeline())
        run(new_pipeline("another"))
    assert len(compiled) == 1
    (message,) = [each.message for each in caplog.records if "in memory" in each.message]
    assert message.startswith("pipelines are compiled in memory: [Errno 2]")


@needs_linker
def test_the_default_folder_is_used_if_it_is_writable(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[dict[str, Any]] = []

    def refuse(**options: Any) -> None:
        tried.append(options)
        raise PermissionError

    monkeypatch.delenv(native_cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    open_cache.cache_clear()
    libraries = open_cache()
    expected = tmp_path / "user" / "midframe" / native_cache.FOLDER
    assert libraries is not None
    assert libraries.folder == expected
    assert list(expected.iterdir()) == []
    open_cache.cache_clear()
    monkeypatch.setattr(native_cache, "TemporaryDirectory", refuse)
    assert open_cache() is None
    assert tried == [{"dir": expected, "prefix": "."}]


def write_library(folder: Path, name: str, age: int) -> Path:
    """Write a file of ten bytes whose last use was `age` seconds after 1970."""
    path = folder / f"{name}.so"
    path.write_bytes(b"0123456789")
    os.utime(path, (age, age))
    return path


def test_the_default_folder_is_in_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert native_cache.default_folder() == tmp_path / ".cache" / "midframe"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert native_cache.default_folder() == tmp_path / "elsewhere" / "midframe"


def test_the_oldest_libraries_are_deleted_except_those_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, older, used = (write_library(tmp_path, f"age-{age}", age) for age in (2, 1, 0))
    for limit, kept in ((30, {used, older, newer}), (29, {used, newer}), (5, {used})):
        monkeypatch.setattr(native_cache, "MAX_BYTES", limit)
        LibraryCache(tmp_path, "cc")._limit_size(keep={used})
        assert set(tmp_path.iterdir()) == kept


def test_finding_a_library_updates_its_time_of_use(tmp_path: Path) -> None:
    content = b"a library"
    path = tmp_path / f"key-{native_cache._digest(content)}.so"
    path.write_bytes(content)
    path.chmod(0o600)
    os.utime(path, (0, 0))
    assert LibraryCache(tmp_path, "cc").find("key") == path
    assert path.stat().st_mtime > 0


def test_a_library_deleted_by_another_process_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_library(tmp_path, "key-damaged", 0)
    monkeypatch.setattr(native_cache, "_is_own", lambda path: path.unlink())
    assert LibraryCache(tmp_path, "cc").find("key") is None


def test_the_last_four_errors_of_the_runtime_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_cache, "_errors", [])
    for number in range(6):
        native_cache._keep_error(0, b"error %d \xff\n" % number)
    assert native_cache._errors == [f"error {number} \ufffd" for number in (2, 3, 4, 5)]


def test_the_source_digest_covers_all_modules_with_pipelines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_cache, "__file__", str(tmp_path / "ops" / "native_cache.py"))
    digest = native_cache._source_digest.__wrapped__
    digests = {digest()}
    names = ("ops/inner/halide.py", "models/network.py", "video/static_areas/halide.py")
    for number, name in enumerate(names, 2):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(f"one = {number}\n")
        digests.add(digest())
        path.write_text(f"two = {number}\n")
        digests.add(digest())
        assert len(digests) == 2 * number - 1
    (tmp_path / "times.py").write_text("three = 3\n")
    assert digest() in digests


def test_all_pipelines_are_in_folders_covered_by_the_source_digest() -> None:
    package = Path(midframe.__file__).parent
    folders = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if "import halide" in path.read_text()
    }
    assert folders - {"doctor.py"} <= set(native_cache.COMPONENTS)


def test_only_private_files_of_the_user_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "library.so", tmp_path / "link.so"
    path.touch(0o600)
    link.symlink_to(path)
    assert native_cache._is_own(path)
    assert not native_cache._is_own(link)
    path.chmod(0o640)
    assert not native_cache._is_own(path)
    path.chmod(0o600)
    monkeypatch.setattr(native_cache.os, "getuid", lambda: path.stat().st_uid + 1)
    assert native_cache._is_own(path) is False


def test_a_pipeline_with_several_outputs_is_not_stored(folder: Path) -> None:
    result = SimpleNamespace(outputs=lambda: 2)
    assert native_cache.load_pipeline(("several",), result, []) is None


@pytest.mark.skipif(sys.platform == "win32", reason="the linker is a shell script")
@pytest.mark.parametrize(
    ("code", "error"),
    [("echo wrong; echo wrong >&2; exit 1", subprocess.CalledProcessError),
     ("exec sleep 60", subprocess.TimeoutExpired)],
)  # fmt: skip
def test_a_linker_that_fails_or_hangs_raises_an_error_and_leaves_no_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    code: str,
    error: type[Exception],
) -> None:
    folder, linker, objects = tmp_path / "libraries", tmp_path / "linker", []
    folder.mkdir()
    linker.write_text(f"#!/bin/sh\n{code}\n")
    linker.chmod(0o700)
    monkeypatch.setattr(native_cache, "LINK_SECONDS", 10 if "exit" in code else 0.1)
    with pytest.raises(error):
        LibraryCache(folder, str(linker)).add("key", objects.append)
    assert objects[0].parent.parent == folder
    assert objects[0].parent.name.startswith(".")
    assert list(folder.iterdir()) == []
    assert capfd.readouterr() == ("", "")


CODE = """
import sys
sys.path[:0] = {paths!r}
from test_native_cache import new_pipeline, run
run(new_pipeline())
"""


@pytest.mark.slow
@needs_linker
def test_several_processes_compile_the_same_pipeline_at_the_same_time(folder: Path) -> None:
    here = Path(__file__).parent
    code = CODE.format(paths=[str(here), str(here.parent)])
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    assert not [path for path in folder.iterdir() if path.suffix != ".so"]
    run(new_pipeline())


@pytest.mark.slow
@needs_linker
@torch.inference_mode()
def test_pipelines_from_disk_and_from_memory_give_the_same_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    torch.manual_seed(0)
    network = FlowSep(TINY).for_inference()
    outputs = []
    for setting in ("", str(folder.parent)):
        monkeypatch.setenv(native_cache.VARIABLE, setting)
        open_cache.cache_clear()
        forget_pipelines(monkeypatch)
        outputs.append(network(*frames()))
    assert len(compiled) > 8
    assert torch.equal(*outputs)


def forget_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset all pipelines, so that they are loaded or compiled again."""
    monkeypatch.setattr(compilation, "_compiled", set())
    for each in gc.get_objects():
        if type(each) is Pipeline:
            each._is_loaded, each._native = False, None


def test_without_a_home_folder_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", raise_error)
    for name in (native_cache.VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert native_cache.open_cache.__wrapped__() is None
