"""The routes added to those of Gradio, without a server."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="Starlette is not installed")

from starlette.applications import Starlette

from midframe.web import routes
from midframe.web.options import Limits
from midframe.web.routes import make_routes
from midframe.web.storage import Storage, StoredFile


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage(1, lambda _: None)
    yield storage
    storage.close()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in another thread, because Playwright has an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def send_request(
    storage: Storage, path: str, messages: list[Any], **headers: str
) -> list[Any]:
    """Return the response of the routes to a client that sends some messages and then stalls."""
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        if b"names" in message.get("body", b""):
            storage.close_session(path.rpartition("/")[2])

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    method = "POST" if headers else "GET"
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": encoded,
        "query_string": b"",
    }
    await Starlette(routes=make_routes(storage, Limits()))(scope, receive, send)
    return sent


def test_a_stalled_upload_is_ended(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "STALL_SECONDS", 0.05)
    session = storage.open_session()
    messages = [{"type": "http.request", "body": b"x", "more_body": True}]
    upload = send_request(
        storage, "/midframe/upload/video", messages, x_midframe_session=session.token
    )
    start, body = run(asyncio.wait_for(upload, 30))
    assert start["status"] == 422
    assert (b"connection", b"close") in start["headers"]
    assert body["body"].startswith(b"no data of the upload arrived for 0.05 seconds: check")
    assert list(session.folder.iterdir()) == []


def test_a_connecting_page_receives_the_names_of_its_files(storage: Storage) -> None:
    session = storage.open_session()
    session.set_upload("first", StoredFile(Path("0123"), "image/png", None, "my\na.png"))
    sent = run(send_request(storage, f"/midframe/alive/{session.token}", []))
    event, data, *_ = sent[1]["body"].decode().split("\n")
    assert event == "event: names"
    assert json.loads(data.removeprefix("data: ")) == {"first": "mya.png"}
