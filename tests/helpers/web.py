"""A server of the page, for tests."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from helpers.video import Averager
from midframe.models.checkpoint import build_model
from midframe.web.access import choose_access
from midframe.web.networks import Networks
from midframe.web.options import Limits

START_SECONDS = 60.0


class Brake(Averager):
    """Interpolates so slowly that a test can look, until it is released."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.model = build_model("sepconv", {"widths": [4, 8, 8], "taps": 9}).for_inference()
        self.on = threading.Event()
        self.frames = 0

    def interpolate_many(self, *values: Any, progress: Any = None) -> Any:
        self.frames += 1
        while self.on.is_set() and self.frames > 3:
            progress(0.5)  # raises once the job is cancelled
            time.sleep(0.02)
        return super().interpolate_many(*values, progress=progress)


@dataclass
class Site:
    """A running server."""

    url: str
    network: Brake
    root: Path
    """Folder of all sessions."""

    def files(self) -> list[Path]:
        """All files of all sessions."""
        return [path for path in self.root.rglob("*") if path.is_file()]

    def sessions(self) -> list[Path]:
        """The folders of the sessions."""
        return [path for path in self.root.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)]


@contextmanager
def serving() -> Iterator[Site]:
    """Serve the page to this machine, with a network that is no work; its files are gone
    afterwards."""
    from midframe.web.handlers import Server
    from midframe.web.server import listen, make_server

    network = Brake()
    state = Server(Limits(max_mb=1), Networks(lambda _: network), 1)
    root = state.storage.root
    with listen("127.0.0.1", 0) as socket:
        server = make_server(state, choose_access("127.0.0.1", None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        begin = time.monotonic()
        while not server.started and time.monotonic() - begin < START_SECONDS:
            time.sleep(0.05)
        yield Site(f"http://127.0.0.1:{socket.getsockname()[1]}", network, root)
        server.should_exit = True
        thread.join(START_SECONDS)
    assert not root.exists()
