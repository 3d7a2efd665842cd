"""The web server: Gradio's page and the other routes, behind a guard."""

import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

from midframe.errors import OptionError
from midframe.web.access import Access, Guard
from midframe.web.draining import Drain
from midframe.web.handlers import Server
from midframe.web.page import HEAD, build_page, theme
from midframe.web.routes import make_routes

STOP_SECONDS = 3
"""Seconds that open requests may take once the server stops."""


def make_app(server: Server, access: Access) -> Guard:
    """Return the application.

    Args:
        server: what all pages share; it is closed when the application ends.
        access: who may use it.
    """

    @asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            server.close()

    os.environ["GRADIO_TEMP_DIR"] = str(server.storage.root)
    app = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(make_routes(server.storage, server.limits))
    mounted = gr.mount_gradio_app(
        app,
        build_page(server),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        head=HEAD,
    )
    return Guard(mounted, access)


class DrainingServer(uvicorn.Server):  # type: ignore[misc]
    """A web server that ends open streams when it stops."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn; SIGHUP, of a closed terminal, ends the server too, unless it is ignored."""
        number = getattr(signal, "SIGHUP", None)
        in_main = threading.current_thread() is threading.main_thread()
        with super().capture_signals():
            if not in_main or number is None or signal.getsignal(number) is signal.SIG_IGN:
                yield
                return
            before = signal.signal(number, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(number, before)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._drain.stop()
        await super().shutdown(sockets)


def make_server(server: Server, access: Access) -> uvicorn.Server:
    """Return the web server, ready to run with a socket of `listen`; arguments as of `make_app`."""
    drain = Drain(make_app(server, access))
    config = uvicorn.Config(
        drain,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return DrainingServer(config, drain)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address.
        port: 0 for any that is free.

    Raises:
        OptionError: the address does not belong to this machine, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        raise OptionError(
            f"{host} port {port} cannot be listened on ({error.strerror}): choose another --port "
            "or --host"
        ) from error
