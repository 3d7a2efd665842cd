"""The encoders of FFmpeg: by the names that people use, with quality by one number."""

import av

from midframe.errors import VideoError

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
"""Codecs by the names people use. FFmpeg's own names of encoders are taken too."""
HARDWARE = tuple(
    f"{codec}_{maker}"
    for maker in ("nvenc", "qsv", "amf", "vaapi", "videotoolbox")
    for codec in ("h264", "hevc", "av1")
)
"""Encoders of graphics cards and processors, where FFmpeg has them and the machine too."""
DEFAULT_CODEC = "h264"
DEFAULT_CRF = 18
QUALITY_OPTIONS = {"nvenc": "cq", "qsv": "global_quality", "amf": "qvbr_quality_level", "vaapi": "qp"}
"""What makers of hardware call constant quality."""


def find_encoder(codec: str) -> av.Codec:
    """The encoder of a codec's name; a VideoError lists the names if there is none."""
    try:
        encoder = av.Codec(ENCODERS.get(codec, codec), "w")
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"there is no video codec {codec!r}: choose from {', '.join(ENCODERS)}") from error
    if encoder.type != "video":
        raise VideoError(f"{codec!r} is no video codec: choose from {', '.join(ENCODERS)}")
    return encoder


def choose_pixel_format(encoder: av.Codec, picture: av.VideoFrame, deep: bool) -> str:
    """The source's own pixel format where the encoder takes it, or the nearest that plays everywhere."""
    offered = [each.name for each in encoder.video_formats or []]
    own = picture.format.name.replace("yuvj", "yuv")
    odd = picture.width % 2 or picture.height % 2
    usual = ["yuv420p10le", "yuv422p10le", "yuv420p"] if deep else ["yuv420p", "nv12", "yuv422p", "yuv422p10le"]
    full = ["yuv444p10le" if deep else "yuv444p", "yuv444p10le"]
    wanted = full if odd else [own, *usual]
    usable = [name for name in wanted if name in offered and not av.VideoFormat(name).is_rgb]
    if not usable:
        raise VideoError(f"{encoder.name} cannot encode {picture.width}x{picture.height} {own}: choose another --codec")
    return usable[0]


def quality_options(encoder: str, crf: int, preset: str | None = None) -> dict[str, str]:
    """The options for constant quality, and for a preset where one is given."""
    maker = encoder.rpartition("_")[2]
    quality = {"libvpx-vp9": {"crf": str(crf), "b": "0"}, "ffv1": {}, "prores_ks": {}}.get(encoder)
    if quality is None:
        quality = {QUALITY_OPTIONS.get(maker, "crf"): str(crf)}
    return quality | ({"preset": preset} if preset else {})


def working_hardware() -> list[str]:
    """The hardware encoders that can be opened on this machine."""
    return [name for name in HARDWARE if _opens(name)]


def _opens(name: str) -> bool:
    try:
        context = av.CodecContext.create(name, "w")
        offered = [each.name for each in context.codec.video_formats or []]
        context.width, context.height, context.framerate = 256, 256, 25
        context.pix_fmt = next(each for each in ("yuv420p", "nv12", *offered) if each in offered)
        context.open()
    except (av.FFmpegError, ValueError, StopIteration):
        return False
    return True
