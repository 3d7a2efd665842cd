"""The page in a real browser: upload, progress, playback, download, cancelling and refusals."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.video import frames_of
from helpers.web import Site
from PIL import Image

from midframe.media.pictures.images import write_image
from midframe.models.shipped import list_models

pytestmark = pytest.mark.slow

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
LONG = 60_000
"""Timeout of a test in milliseconds."""
Render = Callable[..., Path]
NAME = "my <b>${clip}{{1}}.mp4"
"""A name that must not be interpreted as HTML or as a template."""


def open_page(browser: Any, site: Site, size: tuple[int, int]) -> Any:
    """Open the page and record script errors and requests to other sites."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(LONG)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))

    def check_request(request: Any) -> None:
        if not request.url.startswith((site.url, "data:", "blob:")):
            page.problems.append(request.url)

    page.on("request", check_request)
    page.goto(site.url)
    page.wait_for_selector("#mf-drop-video [data-session=open], #mf-drop-video[data-session=open]")
    return page


def close(site: Site, *pages: Any) -> None:
    """Navigate away from pages, wait until their files are deleted, and close them: Playwright may
    close a page before its browser has sent the event for leaving it."""
    site.closing.touch()
    try:
        for page in pages:
            page.goto("about:blank")
        wait_until(lambda: not site.files())
    finally:
        site.closing.unlink()
    for page in pages:
        page.close()


@pytest.fixture
def size() -> str:
    return "desktop"


on_both_sizes = pytest.mark.parametrize("size", SIZES)


@pytest.fixture
def page(browser: Any, site: Site, size: str) -> Iterator[Any]:
    page = open_page(browser, site, SIZES[size])
    yield page
    site.brake.unlink(missing_ok=True)
    assert page.problems == []
    close(site, page)


@pytest.fixture
def clip(render_video: Render) -> Path:
    return render_video(NAME, frames=24, rate=Fraction(24))


def upload(page: Any, path: Path, field: str = "video") -> None:
    page.set_input_files(f"#mf-file-{field}", path)


def start_blocked_work(page: Any, site: Site, clip: Path) -> None:
    """Start a video whose work blocks until the test ends or cancels it."""
    upload(page, clip)
    page.wait_for_selector("#mf-facts >> text=on this machine.")
    site.brake.touch()
    page.click("#mf-start")
    page.wait_for_selector("#mf-result progress")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG / 1000
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@on_both_sizes
def test_a_video_is_uploaded_interpolated_played_and_downloaded(
    page: Any, site: Site, clip: Path, tmp_path: Path
) -> None:
    start_blocked_work(page, site, clip)
    facts = page.inner_text("#mf-facts")
    assert "96 × 64" in facts
    assert "24 frames/s" in facts
    assert "Result: 48 frames, 23 of them interpolated." in facts
    assert NAME in facts
    value = "Number(document.querySelector('#mf-result progress').value)"
    page.wait_for_function(f"{value} > 1")
    page.wait_for_selector(".mf-newest")
    before = page.evaluate(value)
    site.brake.unlink(missing_ok=True)
    page.wait_for_function(f"!document.querySelector('#mf-result progress') || {value} > {before}")
    page.wait_for_selector(".mf-done >> text=48 frames")
    check_playing(page)
    with page.expect_download() as download:
        page.click("#mf-result .mf-download")
    download.value.save_as(tmp_path / "out.mp4")
    assert len(frames_of(tmp_path / "out.mp4")) == 48
    assert download.value.suggested_filename.endswith("-midframe.mp4")
    assert not [path for path in site.files() if "clip" in path.name]


def check_playing(page: Any) -> None:
    """Check that the result and the original play in sync."""
    page.evaluate("document.querySelector('.mf-result').play()")
    times = "['.mf-result', '.mf-original'].map((n) => document.querySelector(n).currentTime)"
    page.wait_for_function(f"{times}.every((time) => time > 0.3)")
    page.evaluate("document.querySelector('.mf-result').pause()")
    page.wait_for_function("document.querySelector('.mf-original').paused")
    page.evaluate("document.querySelector('.mf-result').currentTime = 0.5")
    page.wait_for_function(f"Math.abs({times}[0] - 0.5) + Math.abs({times}[1] - 0.5) < 0.05")


def test_a_cancelled_video_leaves_no_files(page: Any, site: Site, clip: Path) -> None:
    start_blocked_work(page, site, clip)
    assert len(site.files()) > 1
    page.click("#mf-cancel")
    page.wait_for_selector("text=Cancelled. Nothing was kept.")
    assert [path.stat().st_size for path in site.files()] == [clip.stat().st_size]


def test_a_closed_page_stops_its_work_and_deletes_its_files(
    browser: Any, site: Site, clip: Path
) -> None:
    page = open_page(browser, site, SIZES["desktop"])
    start_blocked_work(page, site, clip)
    close(site, page)
    site.brake.unlink(missing_ok=True)


def test_a_reload_keeps_the_work_and_then_the_result(page: Any, site: Site, clip: Path) -> None:
    start_blocked_work(page, site, clip)
    page.reload()
    page.wait_for_selector("#mf-result progress")
    assert NAME in page.inner_text("#mf-facts")
    site.brake.unlink()
    page.wait_for_selector(".mf-done >> text=48 frames")
    page.reload()
    page.wait_for_selector(".mf-done >> text=48 frames")
    assert page.evaluate("fetch(document.querySelector('.mf-download').href).then((a) => a.ok)")


def test_a_reload_keeps_the_names_of_images(
    page: Any, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    page.click("role=tab[name='Pictures']")
    upload_images(page, tmp_path, frame, "")
    page.reload()
    for tab, prefix in (("Pictures", ""), ("Kernels and flow", "visualize-")):
        page.click(f"role=tab[name='{tab}']")
        for slot in ("first", "second"):
            page.wait_for_selector(f"#mf-drop-{prefix}{slot} >> text={slot}.png")


def test_an_upload_that_stalls_is_reported(page: Any, clip: Path) -> None:
    page.route("**/midframe/upload/**", lambda _: None)  # never answered
    page.evaluate("document.querySelector('#mf-file-video').dataset.stallSeconds = 0.1")
    upload(page, clip)
    page.wait_for_selector("#mf-drop-video >> text=The upload stalled: check the connection")


def test_a_file_whose_upload_failed_can_be_chosen_again(page: Any, clip: Path) -> None:
    page.route("**/midframe/upload/**", lambda route: route.abort())
    upload(page, clip)
    page.wait_for_selector("#mf-drop-video >> text=The upload failed: check the connection")
    page.unroute("**/midframe/upload/**")
    upload(page, clip)
    page.wait_for_selector("#mf-facts >> text=on this machine.")


def test_a_page_whose_session_ended_asks_for_a_reload(page: Any, site: Site, clip: Path) -> None:
    start_blocked_work(page, site, clip)
    page.evaluate("midframe.connection.close(), midframe.connection = null")
    page.evaluate("midframe.connect('of a server that was started again')")
    page.wait_for_selector("#mf-drop-video >> text=This page has expired: reload it")
    assert page.locator("#mf-result progress").count() == 0


def test_the_job_of_a_second_page_waits_for_that_of_the_first(
    browser: Any, site: Site, clip: Path
) -> None:
    first, second = (open_page(browser, site, SIZES["desktop"]) for _ in range(2))
    upload(second, clip)
    second.wait_for_selector("#mf-facts >> text=on this machine.")
    start_blocked_work(first, site, clip)
    second.click("#mf-start")
    second.wait_for_selector("text=Waiting: 1 job is before yours.")
    second.click("#mf-cancel")
    second.wait_for_selector("text=Cancelled. Nothing was kept.")
    assert first.locator("#mf-result progress").count() == 1
    site.brake.unlink()
    first.wait_for_selector(".mf-done")
    close(site, first, second)


def test_an_unplayable_original_is_reported_and_the_result_still_plays(
    page: Any, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    images = [Image.fromarray(frame(n)) for n in range(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    upload(page, tmp_path / "a.gif")
    page.wait_for_selector("#mf-facts >> text=on this machine.")
    page.click("#mf-start")
    page.wait_for_selector("text=This browser cannot play the original.")
    page.wait_for_function("document.querySelector('.mf-result').videoWidth === 96")
    assert not page.is_visible("text=This browser cannot play the result")


def test_a_file_dropped_outside_its_field_does_not_replace_the_page(page: Any) -> None:
    default_prevented = """(selector) => {
        const event = new DragEvent("drop", {bubbles: true, cancelable: true});
        document.querySelector(selector).dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    assert page.evaluate(default_prevented, "h1")
    assert not page.evaluate(default_prevented, "#mf-file-video")


def test_keyboard_focus_is_always_visible(page: Any) -> None:
    outlined = """() => {
        const element = document.activeElement.closest(".mf-drop") || document.activeElement;
        return getComputedStyle(element).outlineStyle === "solid" || element.outerHTML;
    }"""
    page.click("h1")
    for _ in range(18):
        page.keyboard.press("Tab")
        assert page.evaluate(outlined) is True


def test_a_text_file_is_refused(page: Any, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    upload(page, path)
    page.wait_for_selector("#mf-drop-video >> text=the file cannot be opened as a video")
    assert site.files() == []


def test_a_file_that_is_too_large_is_refused(page: Any, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(bytes(1_000_001))
    upload(page, path)
    page.wait_for_selector("#mf-drop-video >> text=the file is larger than 1 MB")
    page.evaluate("document.querySelector('#mf-file-video').dataset.maxBytes = 1e9")
    upload(page, path)
    page.wait_for_selector("#mf-drop-video >> text=choose a shorter or smaller one")
    assert site.files() == []


@on_both_sizes
def test_frames_between_two_images_are_shown_and_compared(
    page: Any, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    page.click("role=tab[name='Pictures']")
    page.click("#mf-interpolate")
    page.wait_for_selector("text=two pictures are needed")
    upload_images(page, tmp_path, frame, "")
    page.click("#mf-interpolate")
    page.wait_for_selector(".mf-viewer")
    assert page.locator(".mf-frame").count() == 9
    page.fill(".mf-time", "2")
    assert page.locator(".mf-frame:visible").get_attribute("alt") == "Frame 3 of 9"
    page.fill(".mf-split", "40")
    assert "60%" in page.evaluate("document.querySelector('.mf-before').style.clipPath")
    width = "document.querySelector('.mf-frame:not([hidden])').naturalWidth"
    page.wait_for_function(f"{width} === 96")


def upload_images(page: Any, folder: Path, frame: Callable[..., np.ndarray], prefix: str) -> None:
    for n, slot in enumerate(("first", "second")):
        path = folder / f"{slot}.png"
        write_image(path, frame(2 * n))
        upload(page, path, f"{prefix}{slot}")
        page.wait_for_selector(f"#mf-drop-{prefix}{slot} >> text={slot}.png")


@on_both_sizes
def test_a_click_shows_the_kernels_and_flow_of_the_pixel(
    page: Any, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    page.click("role=tab[name='Kernels and flow']")
    upload_images(page, tmp_path, frame, "visualize-")
    page.wait_for_selector(".mf-click")
    box = page.locator(".mf-click").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.255, box["y"] + box["height"] * 0.51)
    page.wait_for_selector("#mf-view >> text=Pixel 24, 32 of 96 × 64")
    assert page.locator("#mf-view .mf-pixels").count() == 4


def test_the_speed_of_a_model_is_measured(page: Any) -> None:
    page.click("role=tab[name='Models']")
    psnr = list_models()["flowsep"]["scores"]["middlebury_psnr"]
    assert f"{psnr} dB" in page.inner_text("body")
    page.click("#mf-measure-flowsep")
    page.wait_for_selector("#mf-speed-flowsep >> text=at 640 × 360 on this machine.")


@on_both_sizes
def test_the_page_has_no_serious_accessibility_violation(page: Any, site: Site, clip: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    upload(page, clip)
    page.wait_for_selector("#mf-facts >> text=on this machine.")
    page.click("#mf-start")
    page.wait_for_selector(".mf-done")
    for tab in ("Video", "Pictures", "Kernels and flow", "Models"):
        page.click(f"role=tab[name='{tab}']")
        violations = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], tab
        wide = "document.documentElement.scrollWidth > window.innerWidth"
        assert not page.evaluate(wide), f"{tab} is wider than the window"
