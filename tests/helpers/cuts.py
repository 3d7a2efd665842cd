"""Small videos of several scenes, whose cuts end segments."""

from fractions import Fraction
from pathlib import Path

import av

from helpers.video import render_frame, sine


def render_scenes(
    path: Path,
    *,
    scenes: int,
    frames: int = 32,
    rate: int = 25,
    size: tuple[int, int] = (48, 64),
    sound: bool = True,
) -> Path:
    """Render a video; with 32 frames per scene at twice the rate, each scene is a segment."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = size[1], size[0], "yuv420p"
        track = container.add_stream("aac", 48000, layout="stereo") if sound else None
        for number in range(scenes * frames):
            image = render_frame(number % frames, *size, scene=number // frames % 2)
            shown = av.VideoFrame.from_ndarray(image, format="rgb24")
            shown.pts, shown.time_base = number, Fraction(1, rate)
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
        if track:
            for chunk in sine(Fraction(scenes * frames, rate)):
                container.mux(track.encode(chunk))
            container.mux(track.encode(None))
    return path
