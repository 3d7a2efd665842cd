"""Take a picture of the page in the browser with a finished video, for the README.

    python docs/draw_web_page.py        # writes docs/images/web.png

Needs the extra `web`, Playwright, and Chromium. The page is the real one, with the default network
and the clip of examples/render_sample.py.
"""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from shutil import which
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from midframe.interpolator import Interpolator
from midframe.web.access import choose_access
from midframe.web.handlers import Server
from midframe.web.networks import Networks
from midframe.web.options import KEEP_HOURS, Limits
from midframe.web.server import listen, make_server

DOCS = Path(__file__).parent
PICTURE = DOCS / "images" / "web.png"
SIZE = {"width": 1280, "height": 960}
COLOURS = 128
"""Of the palette, so that the file is small."""
WAIT = 300_000
"""Milliseconds that the work may take."""


def take_picture(page: Any, url: str, clip: Path, target: Path) -> None:
    """Interpolate a clip on the page, and write what is shown to a file."""
    page.set_default_timeout(WAIT)
    page.goto(url)
    page.set_input_files("#mf-file-video", clip)
    page.wait_for_selector("#mf-facts >> text=on this machine.")
    page.fill("#mf-slow input[type=number]", "4")
    page.click("#mf-start")
    page.wait_for_selector(".mf-done")
    page.evaluate("document.querySelector('.mf-result').currentTime = 2.5")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    page.screenshot(path=target)


def main() -> None:
    """Serve the page, and take its picture."""
    networks = Networks(Interpolator)
    with tempfile.TemporaryDirectory() as folder, listen("127.0.0.1", 0) as socket:
        clip, shot = Path(folder) / "sample.mp4", Path(folder) / "web.png"
        program = DOCS.parent / "examples" / "render_sample.py"
        subprocess.run([sys.executable, program, clip], check=True)
        access = choose_access("127.0.0.1", None)
        server = make_server(Server(Limits(), networks, KEEP_HOURS), access)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        with sync_playwright() as playwright:
            options = {"executable_path": which("chromium"), "args": ["--no-sandbox"]}
            browser = playwright.chromium.launch(**options)
            url = f"http://127.0.0.1:{socket.getsockname()[1]}"
            take_picture(browser.new_page(viewport=SIZE), url, clip, shot)
            browser.close()
        server.should_exit = True
        thread.join()
        palette = Image.open(shot).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        palette.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
