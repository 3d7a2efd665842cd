"""Common names of codecs, and FFmpeg's encoders for them."""

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
"""FFmpeg's encoders, by codec. Names of FFmpeg's encoders are accepted too."""
ALIASES = {
    "x264": "h264",
    "avc": "h264",
    "h265": "hevc",
    "x265": "hevc",
    "svt-av1": "av1",
    "svtav1": "av1",
}
"""Further names of codecs."""


def encoder_name(codec: str) -> str:
    """Return FFmpeg's name of the encoder of a codec; other names are returned unchanged."""
    name = codec.lower()
    return ENCODERS.get(ALIASES.get(name, name), codec)
