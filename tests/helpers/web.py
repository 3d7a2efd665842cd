"""A server of the page in a separate process, so that Gradio's warnings do not fail tests."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from helpers.signals import default_signals
from helpers.video import Averager
from midframe.models.checkpoint import build_model

RUN = "import sys; from helpers.web import serve; serve(*sys.argv[1:])"
STOP_SECONDS = 60.0
LEAVE_SECONDS, SWEEP_SECONDS = 600.0, 0.1
"""A reload may take any time; sessions that a test leaves end on request."""
FREE_FRAMES = 3
"""Pairs of frames that are interpolated although the brake is set."""


class Brake(Averager):
    """Interpolates, but waits after some frames while a file exists.

    Args:
        path: of the file.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.frames = 0
        self.model = build_model("sepconv", {"widths": [4, 8, 8], "taps": 9}).for_inference()

    def interpolate_many(self, *values: Any, progress: Any = None) -> Any:
        self.frames = self.frames + 1 if self.path.exists() else 0
        while self.frames > FREE_FRAMES and self.path.exists():
            if progress:
                progress(0.5)  # raises once the job is cancelled
            time.sleep(0.02)
        return super().interpolate_many(*values, progress=progress)


def serve(brake: str, closing: str) -> None:
    """Serve the page to this machine until SIGINT; prints its address and its folder.

    Args:
        brake, closing: files; see `Site`.
    """
    from midframe.web import handlers, storage
    from midframe.web.access import choose_access
    from midframe.web.networks import Networks
    from midframe.web.options import Limits
    from midframe.web.server import listen, make_server

    class TestStorage(storage.Storage):
        def sweep(self, now: float) -> list[str]:
            return super().sweep(now + LEAVE_SECONDS * Path(closing).exists())

    storage.LEAVE_SECONDS = LEAVE_SECONDS
    storage.SWEEP_SECONDS = SWEEP_SECONDS
    handlers.Storage = TestStorage  # type: ignore[misc]
    network = Brake(Path(brake))
    state = handlers.Server(Limits(max_mb=1), Networks(lambda _: network), 1)
    with listen("127.0.0.1", 0) as socket:
        server = make_server(state, choose_access("127.0.0.1", None))
        print(f"http://127.0.0.1:{socket.getsockname()[1]} {state.storage.root}", flush=True)
        server.run(sockets=[socket])


@dataclass
class Site:
    """A running server."""

    url: str
    root: Path
    """Folder of all sessions."""
    brake: Path
    """While this file exists, the work waits."""
    closing: Path
    """While this file exists, sessions end at once when their pages are left."""

    def files(self) -> list[Path]:
        """All files of all sessions."""
        found = []
        for folder, _, names in os.walk(self.root):  # a folder may be deleted meanwhile
            if re.match("[0-9a-f]{32}", str(Path(folder).relative_to(self.root))):
                found += [Path(folder, name) for name in names]
        return found


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve the page in another process; its files are deleted afterwards.

    Args:
        folder: for the files that control it.
    """
    brake, closing = folder / "brake", folder / "closing"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with default_signals():
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, brake, closing],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
    with process:
        assert process.stdout is not None
        url, root = process.stdout.readline().split()
        try:
            yield Site(url, Path(root), brake, closing)
        finally:
            brake.unlink(missing_ok=True)
            process.send_signal(signal.SIGINT)
            process.wait(STOP_SECONDS)
    assert not Path(root).exists()
