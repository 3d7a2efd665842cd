"""The server without a browser: its responses to valid and malicious requests."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from helpers.signals import default_signals, needs_hangup
from helpers.web import Site

from midframe.errors import OptionError

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


def send_request(
    site: Site, path: str, data: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Send a request; return the status and the text of the response."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(site.url + path, data, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_page_loads_nothing_from_other_sites(site: Site) -> None:
    status, text = send_request(site, "/")
    assert status == 200
    loaded = re.findall(r"""(?:src|href)=["'](https?://[^"']+)""", text)
    assert [address for address in loaded if not address.startswith(site.url)] == []


def test_an_upload_needs_a_session(site: Site) -> None:
    status, text = send_request(site, "/midframe/upload/video", b"x", X_Midframe_Session="guess")
    assert (status, text) == (403, "this page has expired: reload it")
    assert site.files() == []


def test_an_upload_to_an_unknown_field_is_refused(site: Site) -> None:
    assert send_request(site, "/midframe/upload/..%2Fx", b"x")[0] == 404
    assert send_request(site, "/midframe/upload/other", b"x")[0] == 404


def test_files_are_found_only_by_the_names_of_a_session_and_a_file(site: Site) -> None:
    for path in ("guess/guess", "../../etc/passwd", "%2e%2e/x"):
        assert send_request(site, f"/midframe/files/{path}")[0] == 404


@pytest.mark.parametrize(
    "path", ["/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/monitoring", "/docs"]
)
def test_unneeded_gradio_routes_are_closed(site: Site, path: str) -> None:
    assert send_request(site, path)[0] == 404


def test_another_site_cannot_start_a_job(site: Site) -> None:
    body = b'{"data": [""], "fn_index": 0, "session_hash": "x"}'
    path = "/gradio_api/queue/join"
    assert send_request(site, path, body, Origin="http://evil.example")[0] == 403
    assert send_request(site, path, body, Host="evil.example")[0] == 403


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="Gradio is not installed")
@pytest.mark.parametrize(
    ("name", "status"), [("SIGINT", 130), pytest.param("SIGHUP", 129, marks=needs_hangup)]
)
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path, name: str, status: int) -> None:
    command = [sys.executable, "-m", "midframe", "web", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with default_signals():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = ADDRESS.match(line)
        assert address, line
        with urlopen(address[0], timeout=60) as answer:
            assert answer.status == 200
        assert list(tmp_path.glob("midframe-web-*"))
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == status
    assert errors == "midframe: interrupted\n"
    assert not list(tmp_path.glob("midframe-web-*"))


def test_a_port_in_use_is_refused(site: Site) -> None:
    from midframe.web.server import listen

    port = int(site.url.rpartition(":")[2])
    with pytest.raises(OptionError, match=f"127.0.0.1 port {port} cannot be listened on"):
        listen("127.0.0.1", port)


def test_the_script_is_embedded_in_the_page(site: Site) -> None:
    _, text = send_request(site, "/")
    assert "dropZone(element" in text
    assert "page.js" not in text


def test_a_request_cannot_copy_a_file_of_the_server(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with urlopen(site.url + "/config", timeout=60) as answer:
        listeners = json.load(answer)["dependencies"]
    before = set(site.root.rglob("*"))
    file_data = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for each in listeners:
        data = [file_data] * len(each["inputs"])
        body = {"data": data, "fn_index": each["id"], "session_hash": "thief"}
        send_request(
            site,
            "/gradio_api/queue/join",
            json.dumps(body).encode(),
            Content_Type="application/json",
        )
    with urlopen(site.url + "/gradio_api/queue/data?session_hash=thief", timeout=60) as answer:
        for line in answer:
            if b"close_stream" in line:
                break
    assert [path for path in site.root.rglob("*") if path not in before] == []
