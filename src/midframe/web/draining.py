"""Closing streams when the server stops: every open page holds one, which would delay the stop."""

import asyncio
from typing import Any

from midframe.web.access import App, Message, Receive, Scope, Send


class Drain:
    """Forwards requests; once stopped, reports to the application that the clients disconnected.

    Args:
        app: an ASGI application.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the requests that are open."""
        self._stopped.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request. If the application stops without completing its answer, the answer is
        completed here, because uvicorn would log an error otherwise."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        unfinished = False

        async def send_and_track(message: Message) -> None:
            nonlocal unfinished
            starts = message["type"] == "http.response.start"
            unfinished = starts or bool(message.get("more_body"))
            await send(message)

        async def receive_or_stop() -> Message:
            return await self._receive(receive)

        await self.app(scope, receive_or_stop, send_and_track)
        if unfinished:
            await send({"type": "http.response.body", "body": b""})

    async def _receive(self, receive: Receive) -> Message:
        stopped: asyncio.Task[Any] = asyncio.ensure_future(self._stopped.wait())
        received: asyncio.Task[Message] = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({stopped, received}, return_when=asyncio.FIRST_COMPLETED)
            return received.result() if received.done() else {"type": "http.disconnect"}
        finally:
            stopped.cancel()
            received.cancel()
