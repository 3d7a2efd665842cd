"""Videos with sound, subtitles, chapters and attachments, and readers of these."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet
from PIL import Image

from helpers.video import render_frame, sine
from midframe.media.streams.subtitles import ASS_HEADER

LINES = [(100, 400, "Hello"), (500, 900, "World")]
"""From, to (milliseconds), text."""
FONT = bytes(range(256)) * 4
RATE = 24


def render_rich(
    path: Path,
    text: str = "subrip",
    frames: int = 24,
    sound: str = "aac",
    languages: tuple[str, str] = ("deu", "eng"),
) -> Path:
    """Render a video with two audio and two subtitle streams, chapters, a title and, in Matroska, a
    font and a cover."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", RATE)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        tracks: list[Any] = [container.add_stream(sound, 48000, layout="stereo") for _ in range(2)]
        texts: list[Any] = [container.add_stream(text) for _ in range(2)]
        for stream, language in zip(tracks + texts, languages * 2, strict=True):
            stream.metadata["language"] = language
        for stream in texts:
            stream.codec_context.subtitle_header = ASS_HEADER
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        tracks[1].disposition = av.stream.Disposition.visual_impaired
        container.metadata["title"] = "Film"
        if path.suffix == ".mkv":
            container.add_attachment("font.ttf", "font/ttf", FONT)
            cover = BytesIO()
            Image.new("RGB", (32, 32), "red").save(cover, "png")
            container.add_attachment("cover.png", "image/png", cover.getvalue())
        half, tick = frames * 500 // RATE, Fraction(1, 1000)
        container.set_chapters(
            [
                {
                    "id": n,
                    "start": n * half,
                    "end": (n + 1) * half,
                    "time_base": tick,
                    "metadata": {"title": name},
                }
                for n, name in enumerate(("One", "Two"))
            ]
        )
        container.start_encoding()
        for index in range(frames):
            shown = av.VideoFrame.from_ndarray(render_frame(index), format="rgb24")
            shown.pts = index
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
        for stream in tracks:
            for chunk in sine(Fraction(frames, RATE)):
                container.mux(stream.encode(chunk))
            container.mux(stream.encode(None))
        for stream in texts:
            for begin, end, line in LINES:
                container.mux(subtitle(stream, begin, end, line))
    return path


def subtitle(stream: Any, begin: int, end: int, line: str) -> av.Packet:
    event = SubtitleSet.create(f"0,0,Default,,0,0,0,,{line}".encode(), 0, end - begin, begin * 1000)
    packet = stream.codec_context.encode_subtitle(event)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts, packet.dts, packet.duration = begin, begin, end - begin
    return packet


def texts_of(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Return start, end and text of the first subtitle stream, in seconds after the first frame."""
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        first = next(packet for packet in container.demux(video=0))
        start = first.pts * first.time_base
        container.seek(0)
        found = []
        for packet in container.demux(stream):
            for line in stream.codec_context.decode2(packet) or () if packet.size else ():
                begin = packet.pts * packet.time_base - start
                found.append(
                    (
                        begin,
                        begin + packet.duration * packet.time_base,
                        line.ass.decode().split(",", 8)[-1],
                    )
                )
    return found


def chapters_of(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    with av.open(str(path)) as container:
        return [
            (
                each["start"] * each["time_base"],
                each["end"] * each["time_base"],
                each["metadata"]["title"],
            )
            for each in container.chapters()
        ]


def describe_streams(path: Path) -> list[tuple[str, str, str | None]]:
    """Return type, codec and language of every stream."""
    with av.open(str(path)) as container:
        return [
            (
                s.type,
                s.codec_context.codec.canonical_name if s.codec_context else "",
                s.metadata.get("language"),
            )
            for s in container.streams
            if s.type != "data"
        ]


def render_texts(path: Path, kind: str, events: list[tuple[int, int, bytes]]) -> Path:
    """Render a video of two seconds with subtitle packets: start, duration (or 0) and data."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", RATE)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_mux_stream(kind)
        track.time_base = Fraction(1, 1000)
        for index in range(48):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for begin, duration, data in events:
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = track, Fraction(1, 1000), True
            packet.pts, packet.dts, packet.duration = begin, begin, duration
            container.mux(packet)
    return path
