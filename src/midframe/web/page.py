"""The page, as Gradio builds it: four tabs whose buttons call `Server`."""

import functools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio reads these when it is imported
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))  # no statistics of events

import gradio as gr

from midframe.defaults import DEFAULT_MODEL
from midframe.errors import MidframeError
from midframe.media.writing.codecs import ENCODERS
from midframe.models.shipped import list_models
from midframe.web import fragments
from midframe.web.handlers import MAX_FACTOR, MULTIPLY, TARGET, Server, VideoForm
from midframe.web.limits import PICTURES
from midframe.web.options import FIRST, SECOND, VIDEO, Limits
from midframe.web.routes import STALL_SECONDS
from midframe.web.tasks import MAX_COUNT, PICTURES_TAB
from midframe.web.texts import LABELS

CSS, SCRIPT = ((Path(__file__).parent / name).read_text() for name in ("page.css", "page.js"))
HEAD = f"<script>{SCRIPT}</script><style>{CSS}</style>"
"""Gradio's own option for CSS would change the selectors. It adds the head when the page is shown,
so a script of another address could be late for the elements that need it."""
TITLE = "midframe"
FONTS = ["system-ui", "sans-serif"]
MONO_FONTS = ["ui-monospace", "monospace"]
CONTRAST = {
    f"button_primary_background_fill{state}": "*primary_700"
    for state in ("", "_dark", "_hover", "_hover_dark")
}
"""Background colours with enough contrast to their text."""
DROP_ZONE = """
<div class="mf-drop">
  <label for="ID">LABEL</label>
  <input type="file" id="ID" data-slot="SLOT" data-max-bytes="BYTES"
    data-too-large="TOO_LARGE" data-stall-seconds="STALL" accept="ACCEPT">
  <p class="mf-upload-status" role="status"></p>
</div>
"""
VIDEO_ACCEPT = "video/*,.mkv,.ts,.m2ts,.mxf,.gif,.apng"
PICTURE_ACCEPT = ",".join([*sorted(set(PICTURES.values())), ".dpx", ".jxl"])
"""Without HEIC, which browsers of phones then convert: reading their tiles needs an extra."""
EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Arguments of all event listeners: the page shows progress itself, and the functions are not
public."""
LATEST_EVENT: dict[str, Any] = {**EVENT, "trigger_mode": "always_last"}
"""The same for listeners of which only the latest call matters."""
FILE_FIELDS = 5
"""Number of file fields: one for a video, and two for pictures in each of two tabs."""
Handler = Callable[..., AsyncIterator[str]]


def theme() -> Any:
    """Return a theme with system fonts, so that nothing is loaded from other sites."""
    found = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=MONO_FONTS
    )
    return found.set(**CONTRAST)


def build_page(server: Server) -> Any:
    """Return the page as Gradio's Blocks."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(_introduction(server))
        with gr.Tab("Video"):
            session, describe, result = _video_tab(server)
            zones = [session]
        with gr.Tab("Pictures"):
            picture_zones, viewer = _pictures_tab(server, session)
            zones += picture_zones
        with gr.Tab("Kernels and flow") as tab:
            zones += _visualize_tab(server, session, tab)
        with gr.Tab("Models"):
            _models_tab(server, session)
        opened = page.load(
            _opener(server), session, zones, js="() => midframe.storedToken()", **EVENT
        )
        opened.success(**describe, **EVENT)
        for tab, element in ((VIDEO, result), (PICTURES_TAB, viewer)):
            again = functools.partial(server.show_again, tab=tab)
            opened.success(_streaming(again), session, element, **EVENT)
    page.queue(default_concurrency_limit=None)
    for each in page.blocks.values():
        each.async_move_resource_to_block_cache = _refuse_file
    return page


async def _refuse_file(_: Any) -> None:
    """Raise an error where Gradio would copy a file of the server, or an address, that a request
    names: the fields of the page take none."""
    raise gr.Error("the page takes no files here", print_exception=False)


def _opener(server: Server) -> Callable[[str], list[str]]:
    """Return the function that gives the token of a session to all fields for files."""

    def begin(token: str) -> list[str]:
        try:
            return [server.storage.open_session(token or "").token] * FILE_FIELDS
        except MidframeError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return begin


def _introduction(server: Server) -> str:
    limits, kept = server.limits, fragments.format_duration(server.keep_hours * 3600)
    return (
        f"# {TITLE}\nMore frames for a video, or slow motion. Your files stay on the machine that "
        f"runs this page; they are deleted when you close it, or {kept} after you last used it. "
        f"Limits: {limits.max_mb:g} MB, {fragments.format_duration(limits.max_seconds)}, "
        f"{limits.max_pixels / 1e6:.1f} million pixels."
    )


def _video_tab(server: Server) -> tuple[Any, dict[str, Any], Any]:
    """Return the field for the video, whose value is the token of the session; the listener that
    describes its video; and the element with the result."""
    with gr.Row():
        with gr.Column():
            zone = _drop_zone(VIDEO, "Choose a video, or drop it here", VIDEO_ACCEPT, server.limits)
            facts = gr.HTML(elem_id="mf-facts")
            form = _video_form()
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="mf-start")
                cancel = gr.Button("Cancel", elem_id="mf-cancel")
        with gr.Column():
            gr.Markdown("## Result")
            result = _html("player", elem_id="mf-result")
    inputs = [zone, *form]
    describe = {"fn": _streaming(server.describe_video), "inputs": inputs, "outputs": facts}
    zone.upload(**describe, **LATEST_EVENT)
    for each in form:
        each.change(**describe, **LATEST_EVENT)
    start.click(_streaming(server.convert_video), inputs, result, **EVENT)
    cancel.click(server.cancel, zone, **EVENT)
    return zone, describe, result


def _video_form() -> list[Any]:
    """Return the fields of `VideoForm`."""
    defaults = VideoForm(DEFAULT_MODEL)
    model = _model_choice()
    with gr.Row():
        rate_by = gr.Radio([MULTIPLY, TARGET], value=defaults.rate_by, label="Frame rate")
        factor = _unchecked(
            gr.Number(
                defaults.factor, label=LABELS["factor"], minimum=1, maximum=MAX_FACTOR, step=0.5
            )
        )
        fps = gr.Textbox(defaults.fps, label=LABELS["fps"], visible=False)
    slow_label = f"{LABELS['slow']}: times slower"
    slow = _unchecked(
        gr.Slider(1, MAX_FACTOR, defaults.slow, step=0.5, label=slow_label, elem_id="mf-slow")
    )
    with gr.Row():
        start = gr.Textbox(label=LABELS["start"], placeholder="0:00")
        end = gr.Textbox(label=LABELS["end"], placeholder="end")
        codec = gr.Dropdown(list(ENCODERS), value=defaults.codec, label=LABELS["codec"])
    with gr.Row():
        deinterlace = gr.Checkbox(label=LABELS["deinterlace"])
        mute = gr.Checkbox(label=LABELS["mute"])

    def show_fields(value: str) -> list[Any]:
        return [gr.update(visible=value == MULTIPLY), gr.update(visible=value == TARGET)]

    rate_by.change(show_fields, rate_by, [factor, fps], **EVENT)
    return [model, rate_by, factor, fps, slow, start, end, codec, deinterlace, mute]


def _pictures_tab(server: Server, session: Any) -> tuple[list[Any], Any]:
    zones = _picture_zones(server, "")
    model = _model_choice()
    count = _unchecked(gr.Slider(1, MAX_COUNT, value=7, step=1, label="Frames between"))
    with gr.Row():
        start = gr.Button("Interpolate", variant="primary", elem_id="mf-interpolate")
        cancel = gr.Button("Cancel")
    viewer = _html("viewer", elem_id="mf-viewer")
    start.click(_streaming(server.interpolate_pictures), [session, model, count], viewer, **EVENT)
    cancel.click(server.cancel, session, **EVENT)
    return zones, viewer


def _visualize_tab(server: Server, session: Any, tab: Any) -> list[Any]:
    gr.Markdown(
        "What the network does with a pixel between two pictures: those of the tab Pictures, or "
        "others. Choose a pixel in the picture, or state its position."
    )
    zones = _picture_zones(server, "visualize-")
    model = _model_choice()
    with gr.Row():
        x = gr.Number(50, label="From the left, %", elem_id="mf-x")
        y = gr.Number(50, label="From the top, %", elem_id="mf-y")
        visualize = gr.Button("Visualize", variant="primary", elem_id="mf-visualize")
    with gr.Row():
        picture = _html("chooser", elem_id="mf-chooser")
        view = gr.HTML(elem_id="mf-view")
    for zone in zones:
        zone.upload(server.show_clickable, session, picture, **EVENT)
    tab.select(server.show_clickable, session, picture, **EVENT)
    visualize.click(
        _streaming(server.visualize_pixel), [session, model, x, y], view, **LATEST_EVENT
    )
    return zones


def _picture_zones(server: Server, prefix: str) -> list[Any]:
    """Return the fields for two pictures, which several tabs share."""
    with gr.Row():
        return [
            _drop_zone(slot, f"Choose the {slot} picture", PICTURE_ACCEPT, server.limits, prefix)
            for slot in (FIRST, SECOND)
        ]


def _models_tab(server: Server, session: Any) -> None:
    for name, facts in list_models().items():
        gr.HTML(fragments.model_card(name, facts))
        speed = gr.HTML(elem_id=f"mf-speed-{name}")
        button = gr.Button(f"Measure the speed of {name}", elem_id=f"mf-measure-{name}", size="sm")

        def measure(token: str, name: str = name) -> AsyncIterator[str]:
            return server.measure_speed(token, name)

        button.click(_streaming(measure), session, speed, **EVENT)


def _unchecked(field: Any) -> Any:
    """Return a field for a number that `Server` checks: Gradio's own messages do not name the
    field, and the estimate of the former number would remain."""
    field.preprocess = lambda value: value
    return field


def _model_choice() -> Any:
    return gr.Dropdown(list(list_models()), value=DEFAULT_MODEL, label=LABELS["model"])


def _drop_zone(slot: str, label: str, accept: str, limits: Limits, prefix: str = "") -> Any:
    """Return a field for a file. Its value is the token of the session, which the upload request
    sends."""
    words = {
        "ID": f"mf-file-{prefix}{slot}",
        "SLOT": slot,
        "LABEL": label,
        "BYTES": str(limits.max_bytes),
        "TOO_LARGE": f"the file is larger than {limits.max_mb:g} MB",
        "STALL": f"{STALL_SECONDS:g}",
        "ACCEPT": accept,
    }
    template = DROP_ZONE
    for word, value in words.items():
        template = template.replace(word, value)
    script = "midframe.dropZone(element, props, trigger, watch);"
    return gr.HTML("", html_template=template, js_on_load=script, elem_id=f"mf-drop-{prefix}{slot}")


def _html(function: str, **options: Any) -> Any:
    """Return an element that a function of page.js controls."""
    return gr.HTML("", js_on_load=f"midframe.{function}(element);", **options)


def _streaming(handler: Handler) -> Handler:
    """Return a handler as an asynchronous generator, as Gradio recognises it."""

    async def stream(*values: Any) -> AsyncIterator[str]:
        async for text in handler(*values):
            yield text

    return stream
