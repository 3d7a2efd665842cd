"""Halide pipelines as shared libraries on disk, which later processes load instead of compiling.

On Linux, Halide compiles a pipeline to an object file and the system's linker makes a library of
it. On other systems, without a linker, or where the folder cannot be used, pipelines are compiled
in memory each time.

The libraries run in this process, so only files of this user are loaded, from a folder that nobody
else can write to. The name of a file holds a hash of its content: a damaged one is not loaded.
"""

import ctypes
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any

import halide as hl

from midframe.ops.native_compiler import compile_pipeline, compile_runtime

VARIABLE = "MIDFRAME_CACHE"
"""Environment variable with the folder; empty for none."""
FOLDER = "pipelines"
LINKERS = ("cc", "gcc", "clang")
LINK_OPTIONS = ("-lpthread", "-ldl", "-lm")
LINK_SECONDS = 60
MAX_BYTES = 64 << 20
"""Maximum size of all libraries; the least recently used ones are deleted first."""
MAX_PIPELINE_BYTES = 4 << 20
"""Maximum size of the object file and the library of a pipeline, with room for those of others."""
SYMBOL = "midframe_pipeline"
"""Name of the function of each library."""
COMPONENTS = ("ops", "models", "video")
"""Folders of the package whose modules pipelines can depend on."""
OTHER_USERS_MASK = 0o077
"""Permissions of other users, which the folder must not have."""

log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Return the cache folder by the convention of Linux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midframe"


class LibraryCache:
    """Shared libraries by key; several processes may add to it at the same time.

    Args:
        folder: of the libraries.
        linker: the program that links them.
    """

    def __init__(self, folder: Path, linker: str) -> None:
        self.folder = folder
        self.linker = linker

    def find(self, key: str) -> Path | None:
        """Return the library of a key; None if there is none. Damaged files are deleted."""
        for path in sorted(self.folder.glob(f"{key}-*.so")):
            if _is_own(path) and path.stem.rpartition("-")[2] == _digest(path.read_bytes()):
                os.utime(path)
                return path
            path.unlink(missing_ok=True)
        return None

    def add(
        self,
        key: str,
        write_object: Callable[[Path], None],
        load_libraries: Callable[[], Sequence[Path]] = tuple,
    ) -> Path:
        """Link an object file to a library, which appears when it is complete.

        Args:
            key: of the library.
            write_object: writes the object file.
            load_libraries: returns other libraries that it needs, when the object file is written.

        Raises:
            OSError: the folder cannot be written to.
            subprocess.SubprocessError: the linker fails.
        """
        with TemporaryDirectory(dir=self.folder, prefix=".") as name:
            source = Path(name) / "pipeline.o"
            target = Path(name) / "pipeline.so"
            _check_space(Path(name) / "space")
            write_object(source)
            libraries = load_libraries()
            files = map(str, (target, source, *libraries))
            command = [self.linker, "-shared", "-o", *files, *LINK_OPTIONS]
            subprocess.run(command, check=True, capture_output=True, timeout=LINK_SECONDS)
            target.chmod(0o600)
            path = self.folder / f"{key}-{_digest(target.read_bytes())}.so"
            target.replace(path)
        self._limit_size(keep={path, *libraries})
        return path

    def _limit_size(self, keep: set[Path]) -> None:
        files = []
        for path in self.folder.glob("*.so"):
            with suppress(FileNotFoundError):  # another process has deleted it
                files.append((path.stat(), path))
        total = sum(facts.st_size for facts, _ in files)
        for facts, path in sorted(files, key=lambda each: each[0].st_mtime):
            if total > MAX_BYTES and path not in keep:
                path.unlink(missing_ok=True)
                total -= facts.st_size


class NativeFunction:
    """A pipeline in a shared library; several threads may call it at the same time.

    Args:
        path: of the library.
        types: of its arguments but the last, which is a buffer; None for a buffer.
    """

    def __init__(self, path: Path, types: Sequence[Any]) -> None:
        self._function = getattr(ctypes.CDLL(str(path)), SYMBOL)
        self._function.argtypes = [*(each or ctypes.c_void_p for each in types), ctypes.c_void_p]
        self._function.restype = ctypes.c_int

    def __call__(self, *values: Any) -> None:
        """Run the pipeline; raises a HalideError if it does not accept a buffer."""
        given = [
            value._get_raw_halide_buffer_t() if isinstance(value, hl.Buffer) else value
            for value in values
        ]
        if status := self._function(*given):
            raise hl.HalideError(f"error {status}: {'; '.join(_errors)}")


_loading_runtime = Lock()
_failed = Event()
"""Set when a library could not be made or loaded, so that it is not tried for each pipeline."""
_errors: list[str] = []
"""Errors that Halide's runtime reported."""


def load_pipeline(
    identity: tuple[str, ...], result: Any, arguments: Sequence[Any]
) -> NativeFunction | None:
    """Load a pipeline from disk; compile it first if it is missing.

    Args:
        identity: key of the pipeline; the source of the package and the processor are added to it.
        result: the function of Halide that it computes, one buffer.
        arguments: images and parameters, in the order of the call.

    Returns:
        None if libraries cannot be compiled here; the reason is logged at debug level.
    """
    libraries = open_cache()
    if libraries is None or result.outputs() != 1 or _failed.is_set():
        return None
    try:
        with ThreadPoolExecutor(1) as background:
            runtime = background.submit(_load_runtime, libraries)
            key, target = _key(*identity), f"{_target()}-no_runtime"
            path = libraries.find(key) or libraries.add(
                key,
                lambda source: compile_pipeline(source, result, arguments, SYMBOL, target),
                lambda: [runtime.result()],
            )
            runtime.result()
        return NativeFunction(path, [_type_of(each) for each in arguments])
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("pipelines are compiled in memory: %s", error)
        _failed.set()
        return None


@cache
def open_cache() -> LibraryCache | None:
    """Return the libraries on this machine; None where they cannot be used."""
    setting = os.environ.get(VARIABLE)
    linker = next(filter(None, map(shutil.which, LINKERS)), None)
    if setting == "" or linker is None or sys.platform != "linux":
        log.debug("pipelines are compiled in memory: no cache is wanted, or there is no linker")
        return None
    try:
        folder = (Path(setting) if setting else default_folder()) / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(folder):
            raise PermissionError(f"others can write to {folder}, or it belongs to another user")
        with TemporaryDirectory(dir=folder, prefix="."):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        log.debug("pipelines are compiled in memory: %s", error)
        return None
    return LibraryCache(folder, linker)


def _load_runtime(libraries: LibraryCache) -> Path:
    """Load the runtime that all pipelines share: threads, memory and errors."""
    with _loading_runtime:
        return _load_runtime_once(libraries)


@cache
def _load_runtime_once(libraries: LibraryCache) -> Path:
    key = _key("runtime")
    path = libraries.find(key) or libraries.add(
        key, lambda source: compile_runtime(source, _target())
    )
    runtime = ctypes.CDLL(str(path))
    runtime.halide_set_error_handler(_note_error)
    return path


def _keep_error(_: int, text: bytes) -> None:
    _errors[:] = [*_errors[-3:], text.decode(errors="replace").strip()]


_note_error = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(_keep_error)
"""Called by Halide's runtime instead of ending the process."""


def _check_space(path: Path) -> None:
    """Raise an OSError if a pipeline cannot be written: Halide then ends the process."""
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, MAX_PIPELINE_BYTES)
    finally:
        path.unlink(missing_ok=True)


def _type_of(argument: Any) -> Any:
    """Return the type of a parameter, or None for an image."""
    if isinstance(argument, hl.ImageParam):
        return None
    types = {"float32": ctypes.c_float, "int32": ctypes.c_int32}
    return types[str(argument.type())]


def _key(*identity: str) -> str:
    facts = (version("halide"), _target(), _source_digest(), *identity)
    return sha256(repr(facts).encode()).hexdigest()[:32]


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:32]


@cache
def _target() -> str:
    return str(hl.get_host_target())


@cache
def _source_digest() -> str:
    """Return a hash of all modules that pipelines can depend on."""
    package = Path(__file__).parents[1]
    digest = sha256()
    for component in COMPONENTS:
        for path in sorted((package / component).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_own(path: Path) -> bool:
    """Return whether a file or folder belongs to this user, and no other user has access to it."""
    facts = path.lstat()
    if facts.st_uid != os.getuid():
        return False
    return not facts.st_mode & OTHER_USERS_MASK and not path.is_symlink()
