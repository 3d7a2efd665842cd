"""Streams end when the server stops, and other requests pass through unchanged."""

import asyncio
from typing import Any

from midframe.web.draining import Drain

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Answer until the client disconnects."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"chunk", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body of the request."""
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_an_open_stream_ends_when_the_server_stops() -> None:
    sent: list[Any] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        drain = Drain(stream)
        request = asyncio.ensure_future(drain(SCOPE, receive, send))
        while len(sent) < 2:
            await asyncio.sleep(0)
        assert not request.done()
        drain.stop()
        await asyncio.wait_for(request, 30)

    asyncio.run(run())
    assert sent[-1] == {"type": "http.response.body", "body": b""}


def test_other_requests_pass_through_unchanged() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"content"}

    asyncio.run(Drain(echo)(SCOPE, receive, send))
    assert [each.get("body") for each in sent] == [None, b"content"]
