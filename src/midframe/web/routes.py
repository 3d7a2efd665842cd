"""Routes beside Gradio's: uploads, files, and the connections of open pages."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from midframe.errors import SourceError
from midframe.web.fragments import display_name
from midframe.web.jobs import public_text
from midframe.web.limits import probe_picture, probe_video
from midframe.web.options import FIRST, SECOND, VIDEO, Limits
from midframe.web.storage import Session, SessionError, Storage, StoredFile

SESSION_HEADER, NAME_HEADER = "x-midframe-session", "x-midframe-name"
ALIVE_SECONDS = 1.0
"""Seconds between two signs of life, which are also how soon a lost page is noticed."""
STALL_SECONDS = 60.0
"""Seconds without data after which an upload ends."""
CLOSE = {"connection": "close"}
"""Headers of the answer to an upload that may not have been read to its end."""
NOT_FOUND = PlainTextResponse("there is no such file", 404)


def make_routes(storage: Storage, limits: Limits) -> list[Route]:
    """Return the routes.

    Args:
        storage: has the sessions.
        limits: of uploads.
    """

    async def upload(request: Request) -> Response:
        slot = request.path_params["slot"]
        if slot not in (VIDEO, FIRST, SECOND):
            return NOT_FOUND
        try:
            session = storage.find(request.headers.get(SESSION_HEADER, ""))
            count = int(request.headers.get("content-length", "0"))
            limits.check_bytes(count)
            storage.check_space(count)
            title = unquote(request.headers.get(NAME_HEADER, ""))
            await _receive(request, session, slot, title, limits)
        except SessionError as error:
            return PlainTextResponse(str(error), 403, CLOSE)
        except ClientDisconnect:  # nobody reads the answer
            return PlainTextResponse("interrupted", 422)
        except Exception as error:
            return PlainTextResponse(public_text(error), 422, CLOSE)
        return PlainTextResponse("ok")

    async def send_file(request: Request) -> Response:
        try:
            session = storage.find(request.path_params["token"])
        except SessionError:
            return NOT_FOUND
        file = session.files.get(request.path_params["name"])
        if file is None or not file.path.exists():
            return NOT_FOUND
        headers = {"cache-control": "private, no-store"}
        return FileResponse(file.path, media_type=file.media_type, headers=headers)

    async def keep_session(request: Request) -> Response:
        token = request.path_params["token"]
        try:
            uploads = storage.find(token).uploads
        except SessionError as error:
            return PlainTextResponse(str(error), 404)
        names = {slot: display_name(file.title) for slot, file in uploads.items()}

        async def send_signs_of_life() -> AsyncIterator[str]:
            with storage.connected(token):
                yield f"event: names\ndata: {json.dumps(names)}\n\n"
                while storage.is_open(token) and not await request.is_disconnected():
                    yield ": alive\n\n"
                    await asyncio.sleep(ALIVE_SECONDS)

        headers = {"cache-control": "no-store"}
        return StreamingResponse(send_signs_of_life(), 200, headers, "text/event-stream")

    async def leave_session(request: Request) -> Response:
        try:
            storage.leave(request.path_params["token"])
        except SessionError:
            return NOT_FOUND
        return Response(status_code=204)

    return [
        Route("/midframe/upload/{slot}", upload, methods=["POST"]),
        Route("/midframe/files/{token}/{name}", send_file, methods=["GET"]),
        Route("/midframe/alive/{token}", keep_session, methods=["GET"]),
        Route("/midframe/leave/{token}", leave_session, methods=["POST"]),
    ]


async def _receive(
    request: Request, session: Session, slot: str, title: str, limits: Limits
) -> None:
    """Store the body of a request, and probe it; a refused upload is deleted."""
    path = session.new_path(word=slot)
    probe: Any = probe_video if slot == VIDEO else probe_picture
    try:
        count, chunks = 0, request.stream()
        with path.open("xb") as file:
            while chunk := await _next_chunk(chunks):
                count += len(chunk)
                limits.check_bytes(count)
                await run_in_threadpool(file.write, chunk)
        facts = await run_in_threadpool(probe, path, limits)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    session.set_upload(slot, StoredFile(path, facts.media_type, facts, title))


async def _next_chunk(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the next chunk of an upload; an empty one at its end.

    Raises:
        SourceError: no data arrive for `STALL_SECONDS`.
    """
    try:
        return await asyncio.wait_for(anext(chunks, b""), STALL_SECONDS)
    except TimeoutError as error:
        raise SourceError(
            f"no data of the upload arrived for {STALL_SECONDS:g} seconds: check the connection, "
            "then choose the file again"
        ) from error
