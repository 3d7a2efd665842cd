"""HTML fragments of the page; text that comes from visitors is escaped."""

import base64
from collections.abc import Mapping, Sequence
from html import escape as escape_html
from pathlib import PurePath
from typing import Any

import numpy as np

from midframe.web.jobs import Job
from midframe.web.limits import VideoFacts
from midframe.web.storage import Session
from midframe.web.tasks import PixelView, VideoResult, to_png
from midframe.web.texts import LABELS, for_visitors

MAX_NAME = 80
"""Maximum length of a visitor's file name on the page."""
MAX_ENDING = 10
"""Length of the end that is kept of a longer one."""
MEASURING = "Measuring the speed of this machine …"
TEMPLATE_MARKS = {ord(each): f"&#{ord(each)};" for each in "${}`\\"}
"""Escapes of characters with a meaning in Gradio's templates."""


def escape(text: str) -> str:
    """Escape a text for HTML and for a template."""
    return escape_html(text).translate(TEMPLATE_MARKS)


def format_duration(seconds: float) -> str:
    """Return a duration in words, as in 2 min 05 s or 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    if minutes and rest:
        return f"{minutes} min {rest:02} s"
    return f"{minutes} min" if minutes else f"{rest} s"


def message(text: str, *, error: bool = False) -> str:
    """Return a message to the visitor; screen readers announce errors."""
    if not text:
        return ""
    role, style = ("alert", "mf-error") if error else ("status", "mf-note")
    return f'<p class="{style}" role="{role}">{escape(text)}</p>'


def video_facts(facts: VideoFacts, name: str) -> str:
    """Return the facts about a video as a list."""
    rate = f"{float(facts.rate):.3f}".rstrip("0").rstrip(".")
    regular = "" if facts.source_rate.regular else ", variable"
    rows = {
        "File": display_name(name),
        "Size": f"{facts.width} × {facts.height}, {facts.size / 1e6:.1f} MB",
        "Length": f"{format_duration(facts.seconds)}, {facts.frames} frames",
        "Rate": f"{rate} frames/s{regular}",
        "Sound": facts.sound or "none",
    }
    if facts.hdr:
        rows["Colour"] = "HDR"
    if facts.interlaced:
        rows["Scan"] = f"interlaced: choose {LABELS['deinterlace']}"
    return definitions(rows)


def definitions(rows: Mapping[str, str]) -> str:
    """Return a definition list of names and values."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in rows.items()
    )
    return f'<dl class="mf-facts">{items}</dl>'


def estimate(frames: int, interpolated: int, seconds: float | None, reason: str = MEASURING) -> str:
    """Return an estimate of the time that a conversion takes.

    Args:
        frames: number of frames of the result.
        interpolated: number of interpolated ones among them.
        seconds: time per interpolated frame; None if it is not known.
        reason: why it is not known.
    """
    work = f"{frames} frames, {interpolated} of them interpolated"
    if seconds is None:
        return message(f"Result: {work}. {reason}")
    return message(
        f"Result: {work}. About {format_duration(interpolated * seconds)} on this machine."
    )


def job_progress(job: Job, before: int) -> str:
    """Return the progress of a job.

    Args:
        job: that waits or runs.
        before: jobs that must finish before it begins.
    """
    if before:
        text = "1 job is" if before == 1 else f"{before} jobs are"
        return message(f"Waiting: {text} before yours.")
    progress = job.progress
    if progress.total is None:
        return message("Preparing …")
    done = min(progress.done, progress.total)
    if done == progress.total:
        return message("Finishing …")
    words = [f"{int(done)} of {round(progress.total)} frames"]
    words += [f"{progress.rate:.2f} frames/s"] if progress.rate else []
    if progress.seconds_left is not None:
        words.append(f"{format_duration(progress.seconds_left)} left")
    value = f'value="{done:.2f}" max="{progress.total:.2f}"'
    bar = f'<progress class="mf-bar" aria-label="Progress" {value}></progress>'
    picture = (
        f'<img class="mf-newest" alt="Newest interpolated frame" '
        f'src="{data_url(progress.picture, "image/jpeg")}">'
        if progress.picture
        else ""
    )
    return f"{bar}<p>{', '.join(words)}</p>{picture}"


def video_result(session: Session, result: VideoResult, source_name: str | None) -> str:
    """Return the result of a video, beside its source, with a link to download it.

    Args:
        session: that has both files.
        result: the result.
        source_name: random name of the source's file; None if another upload replaced it.
    """
    report = result.report
    slow = float(result.options.retiming.slow or 1)
    start, _ = result.options.source.seconds
    words = f"{report.frames_out} frames, {report.frames_interpolated} of them interpolated"
    url = session.url(result.name)
    name = display_name(result.source.title)
    download = escape(f"{PurePath(name).stem}-midframe{result.suffix}")
    texts = [*report.problems, *report.damage, *report.dropped, *report.warnings]
    notes = "".join(message(for_visitors(text)) for text in texts)
    if source_name is None:
        replaced = f"This is the result of {name}, which another video has replaced."
        notes = message(replaced) + notes
    address = "" if source_name is None else f' src="{session.url(source_name)}"'
    return (
        f'<div class="mf-pair" data-slow="{slow:g}" data-start="{start:g}">'
        f"<figure{' hidden' if source_name is None else ''}><figcaption>Original</figcaption>"
        f'<video class="mf-original" muted playsinline '
        f'preload="auto" aria-label="Original"{address}></video>'
        f'<p class="mf-unplayable" hidden>This browser cannot play the original.</p></figure>'
        f'<figure><figcaption>Result</figcaption><video class="mf-result" controls playsinline '
        f'preload="auto" aria-label="Result" src="{url}"></video>'
        f'<p class="mf-unplayable" hidden>This browser cannot play the result: download it.</p>'
        "</figure></div>"
        f'<p class="mf-done" role="status">Done: {words}.</p>{notes}'
        f'<p><a class="mf-download" href="{url}" download="{download}">Download the result</a></p>'
    )


def picture_viewer(urls: Sequence[str], dropped: Sequence[str] = ()) -> str:
    """Return a viewer of frames: one slider moves through them, the other uncovers the first.

    Args:
        urls: of the frames.
        dropped: properties of the pictures that the frames do not have.
    """
    middle = len(urls) // 2
    notes = "".join(message(f"dropped: {for_visitors(each)}") for each in dropped)
    frames = "".join(
        f'<img class="mf-frame" alt="Frame {n} of {len(urls)}" src="{url}"'
        f"{'' if n == middle + 1 else ' hidden'}>"
        for n, url in enumerate(urls, start=1)
    )
    return (
        f'<div class="mf-viewer"><div class="mf-stage">{frames}'
        f'<img class="mf-before" alt="First picture" src="{urls[0]}"></div>'
        f'<label>Time <input class="mf-time" type="range" min="0" max="{len(urls) - 1}" '
        f'value="{middle}"></label>'
        f'<label>Before / after <input class="mf-split" type="range" min="0" max="100" value="0">'
        f'</label><p><a class="mf-download" href="{urls[middle]}" download="frame-{middle}.png">'
        f"Download this frame</a></p>{notes}</div>"
    )


def clickable(url: str) -> str:
    """Return a picture whose pixels can be chosen."""
    return f'<img class="mf-click" alt="First picture: choose a pixel" src="{url}">'


def pixel_view(view: PixelView) -> str:
    """Return the kernels and the flow of a pixel."""
    kernels = view.kernels
    brightest = max(float(kernels.kernels.max()), 1e-6)
    cells = []
    for n, name in enumerate(("first", "second")):
        patch = np.rint(kernels.patches[n] * 255).astype(np.uint8)
        weights = np.rint(kernels.kernels[n].clip(0) / brightest * 255).astype(np.uint8)
        size = kernels.kernels.shape[1]
        total = float(kernels.kernels[n].sum())
        cells += [
            _tile(patch, f"The {name} picture around the pixel, {size} × {size} pixels"),
            _tile(weights, f"Its kernel; the sum of the weights is {total:.2f}"),
        ]
    x, y = view.flow
    across = f"{abs(x):.1f} pixels {'right' if x >= 0 else 'left'}"
    down = f"{abs(y):.1f} {'down' if y >= 0 else 'up'}"
    flow = f"Flow of all pixels; full colour is {view.longest:.1f} pixels"
    source = data_url(view.flow_picture, "image/png")
    return (
        f'<p role="status">Pixel {kernels.x}, {kernels.y} of {view.width} × {view.height}: '
        f"moves {across}, {down}, from the first picture to the second.</p>"
        f'<div class="mf-tiles">{"".join(cells)}</div>'
        f'<figure><img class="mf-flow" alt="{flow}" src="{source}">'
        f"<figcaption>{flow}</figcaption></figure>"
    )


def _tile(image: Any, caption: str) -> str:
    source = data_url(to_png(image), "image/png")
    return (
        f'<figure><img class="mf-pixels" alt="{caption}" src="{source}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def model_card(name: str, facts: Mapping[str, Any]) -> str:
    """Return the data and the scores of a network."""
    scores = facts.get("scores", {})
    rows = {
        "Middlebury": f"{scores.get('middlebury_psnr', '?')} dB, "
        f"SSIM {scores.get('middlebury_ssim', '?')}",
        "Training data": str(facts.get("data", "?")),
    }
    about = escape(str(facts.get("summary", "")))
    return f'<h2 class="mf-model">{escape(name)}</h2><p>{about}.</p>{definitions(rows)}'


def data_url(content: bytes, media_type: str) -> str:
    """Return an image as a URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def display_name(name: str) -> str:
    """Return a visitor's file name without folders and control characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(each for each in last if each.isprintable()) or "video"
    if len(shown) <= MAX_NAME:
        return shown
    return f"{shown[: MAX_NAME - MAX_ENDING - 1]}…{shown[-MAX_ENDING:]}"
