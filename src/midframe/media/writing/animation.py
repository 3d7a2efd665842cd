"""GIF and APNG: short animations that loop."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from midframe.media.colour.filters import picture_buffer, pull_frames
from midframe.media.pixel_formats import PNG_RGB, bit_depth, has_alpha
from midframe.media.reading.video_file import file_url
from midframe.media.suffixes import ANIMATIONS

FOREVER = 0
FASTEST_GIF = 50
"""Frames per second; viewers play GIFs with shorter delays too slowly."""
GIF_TICKS = 100
"""Ticks of GIF per second."""
MAX_APNG_TERM = 65535
"""Largest numerator or denominator of the delay of an APNG frame."""
APNG_RGB = {**PNG_RGB, (True, True): PNG_RGB[False, True]}
"""RGB of APNG, by (high bit depth, alpha). FFmpeg encodes rgba64be with blended rectangles, which
it does not decode."""
Frames = Callable[[], Iterable[av.VideoFrame]]
"""Returns an iterable of all frames, lossless RGB with times; called twice for GIF."""


def plays_of(path: Path) -> int:
    """Return how often an animation is played; 0 for endless, and for other files."""
    if path.suffix.lower() not in (*ANIMATIONS, ".png", ".webp") or not path.is_file():
        return FOREVER
    with Image.open(path) as image:
        loops = image.info.get("loop")
        if image.format != "GIF":
            return int(loops or 0)
        if loops is None:  # a GIF without a loop count is played once
            return 1
        return int(loops) + 1 if loops else FOREVER  # a GIF states the repetitions


def write_animation(
    path: Path,
    frames: Frames,
    time_base: Fraction,
    rate: Fraction,
    plays: int,
    *,
    gif: bool,
    last: Fraction,
) -> None:
    """Write all frames as an animation.

    Args:
        path: of the animation.
        frames: see `Frames`.
        time_base: of the animation.
        rate: average frames per second.
        plays: how often it is played; 0 for endless.
        gif: write a GIF instead of an APNG.
        last: duration of the last frame, in seconds.

    Raises:
        av.FFmpegError, OSError: the file cannot be written.
    """
    codec = "gif" if gif else "apng"
    if gif:
        delay = round(max(last, Fraction(1, FASTEST_GIF)) * GIF_TICKS)
        loop = {FOREVER: 0, 1: -1}.get(plays, plays - 1)
        options = {"loop": str(loop), "final_delay": str(delay)}
    else:
        delay_fraction = last.limit_denominator(MAX_APNG_TERM)
        options = {"plays": str(plays), "final_delay": str(delay_fraction)}
    with av.open(file_url(path), "w", format=codec, container_options=options) as container:
        stream: Any = None
        for frame in _convert_to_palette(frames) if gif else frames():
            if stream is None:
                stream = container.add_stream(codec, rate)
                stream.width = frame.width
                stream.height = frame.height
                stream.pix_fmt = "pal8" if gif else _apng_format(frame.format)
                stream.codec_context.time_base = time_base
            given = frame if gif else frame.reformat(format=stream.pix_fmt)
            given.pts = round(frame.pts * frame.time_base / time_base)
            given.time_base = time_base
            container.mux(stream.encode(given))
        if stream:
            container.mux(stream.encode(None))


def _apng_format(form: av.VideoFormat) -> str:
    return APNG_RGB[bit_depth(form) > 8, has_alpha(form)]


def _convert_to_palette(frames: Frames) -> Iterator[av.VideoFrame]:
    """Convert the frames to one palette of 255 colours and transparency, chosen for all of them."""
    palette = _palette(frames())
    graph = av.filter.Graph()
    begin: Any = None
    for frame in frames():
        if begin is None:
            begin, colours = picture_buffer(graph, frame), picture_buffer(graph, palette)
            use, end = graph.add("paletteuse"), graph.add("buffersink")
            begin.link_to(use, 0, 0)
            colours.link_to(use, 0, 1)
            use.link_to(end)
            graph.configure()
            colours.push(palette)
            colours.push(None)
        begin.push(frame)
        yield from pull_frames(end)
    begin.push(None)
    yield from pull_frames(end)


def _palette(frames: Iterable[av.VideoFrame]) -> av.VideoFrame:
    graph = av.filter.Graph()
    begin: Any = None
    for frame in frames:
        if begin is None:
            begin, end = picture_buffer(graph, frame), graph.add("buffersink")
            graph.link_nodes(begin, graph.add("palettegen"), end).configure()
        begin.push(frame)
    begin.push(None)
    palette = end.pull()
    assert isinstance(palette, av.VideoFrame)
    return palette
