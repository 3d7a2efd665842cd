"""The encoders of GPUs and processors that FFmpeg supports."""

import av

from midframe.media.writing.encoder_options import opening_encoder

HARDWARE = tuple(
    f"{codec}_{maker}"
    for maker in ("nvenc", "qsv", "amf", "vaapi", "videotoolbox")
    for codec in ("h264", "hevc", "av1")
)
"""Hardware encoders, available if both FFmpeg and the machine support them."""


def working_hardware() -> list[str]:
    """Return the hardware encoders that can be opened on this machine."""
    return [name for name in HARDWARE if _opens(name)]


def _opens(name: str) -> bool:
    try:
        context = av.CodecContext.create(name, "w")
        offered = [each.name for each in context.codec.video_formats or []]
        context.width = 256
        context.height = 256
        context.framerate = 25
        context.pix_fmt = next(each for each in ("yuv420p", "nv12", *offered) if each in offered)
        with opening_encoder():
            context.open()
    except (av.FFmpegError, ValueError, StopIteration):
        return False
    return True
