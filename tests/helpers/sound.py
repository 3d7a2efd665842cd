"""Videos with sound, and readers of their sound."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from helpers.video import render_frame
from midframe.media.streams.sound_format import (
    decode_sound,
    format_of,
)

RATE = 48000


def codec_for(suffix: str) -> str:
    return "vp9" if suffix == "webm" else "h264"


def sound_of(path: Path, number: int = 0) -> tuple[np.ndarray[Any, Any], Fraction]:
    """Return the first channel of a sound, and its start after the first frame in seconds."""
    with av.open(str(path)) as container:
        packet = next(each for each in container.demux(video=0) if each.pts is not None)
        start = packet.pts * packet.time_base
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        frames = [
            frame
            for packet in container.demux(stream)
            for frame in decode_sound(stream.codec_context, packet)
        ]
        channels = [1 if frame.format.is_planar else format_of(frame).channels for frame in frames]
        chunk_lengths = [
            frame.to_ndarray()[0, ::step].astype(np.float32)
            / (32768 if frame.format.name.startswith("s16") else 1)
            for frame, step in zip(frames, channels, strict=True)
        ]
        begin = frames[0].pts * frames[0].time_base - start
    return np.concatenate(chunk_lengths), begin


def tone_begins(path: Path, number: int = 0) -> float:
    """Return when sound is audible, in seconds after the first frame."""
    samples, begin = sound_of(path, number)
    with av.open(str(path)) as container:
        rate = container.streams.audio[number].rate
    return float(begin) + int(np.argmax(abs(samples) > 0.05)) / rate


def render_tone(
    path: Path, encoder: str = "pcm_s16le", layout: str = "stereo", tone_at: float = 0.5,
    begin: float = 0.0, seconds: float = 1.0, skip: tuple[int, int] = (0, 0), chunk: int = 1024,
) -> Path:  # fmt: skip
    """Render a video of one second whose sound is silent until a tone begins; some packets can be
    omitted."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", 25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream(encoder, RATE, layout=layout)
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        packets: list[av.Packet] = []
        for first in range(0, round((seconds - begin) * RATE), chunk):
            times = begin + (first + np.arange(chunk)) / RATE
            wave = np.where(times >= tone_at, 0.3 * np.sin(2 * np.pi * 440 * times), 0).astype(
                np.float32
            )
            samples = np.repeat(wave, av.AudioLayout(layout).nb_channels)[None]
            sound = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = (
                RATE,
                round(begin * RATE) + first,
                Fraction(1, RATE),
            )
            packets += track.encode(sound)
        packets += track.encode(None)
        for number, packet in enumerate(packets):
            if not skip[0] <= number < skip[1]:
                container.mux(packet)
    return path
