"""Access to the page: the address it listens on, the password, and protection against requests
that pages of other sites send through a visitor's browser."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from midframe.errors import OptionError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
PUBLIC_PATHS = (
    "/config",
    "/assets/",
    "/static/",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/gradio_api/queue/",
    "/gradio_api/heartbeat/",
    "/gradio_api/cancel",
    "/gradio_api/app_id",
    "/midframe/",
)
"""Prefixes of the paths that the page needs. Other routes of Gradio are refused: its upload route
stores files of any number and size, and its file routes serve them."""
ONLY_LOCAL = (
    "this page is for the machine that it runs on: open it there as localhost or 127.0.0.1, or "
    "start it with --host and --auth"
)
SAFE_METHODS = ("GET", "HEAD")
FAILURE_SECONDS = 1.0
"""Delay of the answer to a wrong password."""
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""Nothing is loaded from other sites, and other sites can embed nothing of this one. Gradio's
templates need 'unsafe-eval'."""


@dataclass(frozen=True)
class Access:
    """The address of the page, and its password."""

    host: str
    credentials: str | None
    """USER:PASSWORD; None if there is no password."""

    @property
    def local(self) -> bool:
        """Return whether only this machine can reach the page."""
        return is_loopback(self.host)


def choose_access(host: str, auth: str | None) -> Access:
    """Check the address and the password.

    Args:
        host: name or address to listen on.
        auth: USER:PASSWORD.

    Raises:
        OptionError: the address can be reached by others and there is no password, or the password
            is not in the form USER:PASSWORD.
    """
    if auth is not None:
        user, colon, password = auth.partition(":")
        if not (user and colon and password):
            raise OptionError("--auth: a user and a password are needed, as in anna:secret")
    elif not is_loopback(host):
        raise OptionError(
            f"--host is {host}: others can reach it, so --auth USER:PASSWORD or the environment "
            "variable MIDFRAME_WEB_AUTH is needed"
        )
    return Access(host, auth)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is a loopback one."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses requests before they reach an application, and adds security headers to its answers.

    A request must meet these conditions:

    - Its Host header is a name of this machine, if only this machine can reach the page. This
      prevents DNS rebinding, where the name of another site resolves to this machine.
    - It does not come from a page of another site.
    - Its path is one that the page needs.
    - It has the password, if there is one.

    Args:
        app: the application.
        access: who may use it.
    """

    def __init__(self, app: App, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        path = scope["path"]
        if not self._is_for_this_machine(headers.get("host", "")):
            await refuse(send, 403, ONLY_LOCAL)
        elif not self._is_own(scope["method"], path, headers):
            await refuse(send, 403, "this request comes from another site")
        elif not self._has_password(headers):
            if "authorization" in headers:
                await asyncio.sleep(FAILURE_SECONDS)
            challenge = {"www-authenticate": 'Basic realm="midframe", charset="UTF-8"'}
            await refuse(send, 401, "a user and a password are needed", challenge)
        elif path != "/" and not path.startswith(PUBLIC_PATHS):
            await refuse(send, 404, "there is no such page")
        else:
            await self.app(scope, receive, _with_headers(send))

    def _is_for_this_machine(self, host: str) -> bool:
        """Return whether a Host header is one that a browser sends for this page."""
        name = _parse(f"//{host}").hostname
        return not self.access.local or name in LOCAL_NAMES or name == self.access.host

    def _is_own(self, method: str, path: str, headers: dict[str, str]) -> bool:
        """Return whether a request was not sent by a page of another site."""
        origin = headers.get("origin")
        if origin is not None and _parse(origin).netloc.lower() != headers.get("host", "").lower():
            return False
        opens_page = method in SAFE_METHODS and path == "/"
        return opens_page or headers.get("sec-fetch-site") not in ("cross-site", "same-site")

    def _has_password(self, headers: dict[str, str]) -> bool:
        if self.access.credentials is None:
            return True
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(
            given, self.access.credentials.encode()
        )


def _parse(url: str) -> SplitResult:
    """Return the parts of a URL; empty ones if it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


async def refuse(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    """Answer with a line of text."""
    named = {"content-type": "text/plain; charset=utf-8", **HEADERS, **(headers or {})}
    start = {"type": "http.response.start", "status": status, "headers": _encode(named)}
    await send(start)
    await send({"type": "http.response.body", "body": text.encode()})


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_encode(HEADERS)]
        await send(message)

    return send_with_headers


def _encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
