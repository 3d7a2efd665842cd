"""Access to the page: from this machine or with the password, and from no other site."""

import asyncio
import base64
from typing import Any

import pytest

from midframe.errors import OptionError
from midframe.web import access
from midframe.web.access import Access, Guard, choose_access

LOCAL = Access("127.0.0.1", None)
OPEN = Access("0.0.0.0", "anna:a:secret")


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def send_request(
    rules: Access, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str]]:
    """Send a request; return the status and the headers of the response."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    all_headers = {
        "host": "127.0.0.1:7860",
        **{name.replace("_", "-"): v for name, v in headers.items()},
    }
    pairs = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    asyncio.run(Guard(application, rules)(scope, receive, send))
    response_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], response_headers


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_a_loopback_address_needs_no_password(host: str) -> None:
    assert choose_access(host, None) == Access(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example"])
def test_other_addresses_need_a_password(host: str) -> None:
    with pytest.raises(OptionError, match="others can reach it, so --auth USER:PASSWORD"):
        choose_access(host, None)
    assert choose_access(host, "anna:secret").credentials == "anna:secret"


@pytest.mark.parametrize("auth", ["", "anna", "anna:", ":secret"])
def test_a_password_without_a_user_is_refused(auth: str) -> None:
    with pytest.raises(OptionError, match="--auth: a user and a password are needed"):
        choose_access("127.0.0.1", auth)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:9000", "[::1]:7860", "LOCALHOST"])
def test_a_request_to_this_machine_is_answered(host: str) -> None:
    status, headers = send_request(LOCAL, host=host)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "host", ["evil.example:7860", "evil.example", "", "127.0.0.1.evil.example"]
)
def test_a_request_with_another_host_name_is_refused(host: str) -> None:
    assert send_request(LOCAL, host=host)[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null"])
def test_a_request_from_a_page_of_another_site_is_refused(origin: str) -> None:
    assert send_request(LOCAL, "/gradio_api/queue/join", "POST", origin=origin)[0] == 403
    assert send_request(OPEN, "/", origin=origin, authorization=basic("anna:a:secret"))[0] == 403


def test_a_request_from_the_page_itself_is_answered() -> None:
    assert send_request(LOCAL, "/midframe/upload", "POST", origin="http://127.0.0.1:7860")[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_to_the_page_but_not_load_its_files(site: str) -> None:
    assert send_request(LOCAL, "/", sec_fetch_site=site)[0] == 200
    assert send_request(LOCAL, "/midframe/files/a/b", sec_fetch_site=site)[0] == 403
    assert send_request(LOCAL, "/", "POST", sec_fetch_site=site)[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/login", "/gradio_api/proxy=x", "/x"],
)
def test_paths_that_the_page_does_not_need_are_refused(path: str) -> None:
    assert send_request(LOCAL, path)[0] == 404


def test_every_path_requires_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "FAILURE_SECONDS", 0)
    for path in ("/", "/midframe/upload", "/nowhere"):
        status, headers = send_request(OPEN, path)
        assert status == 401
        assert headers["www-authenticate"].startswith("Basic")
    for wrong in ("anna:a:secre", "anna", "ben:a:secret", ""):
        assert send_request(OPEN, authorization=basic(wrong))[0] == 401
    assert send_request(OPEN, authorization="Basic ***")[0] == 401
    assert send_request(OPEN, authorization=basic("anna:a:secret"), host="any.example")[0] == 200


def test_web_sockets_are_refused() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(application, LOCAL)({"type": "websocket"}, send, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("wrong", [{"host": "[::1"}, {"origin": "http://["}])
def test_malformed_headers_are_refused(wrong: dict[str, str]) -> None:
    assert send_request(LOCAL, "/midframe/upload/video", "POST", **wrong)[0] == 403
