"""Options of encoders: constant quality and presets, checked before the work."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import av
import av.logging

from midframe.errors import VideoError
from midframe.media.pixel_formats import bit_depth
from midframe.options import EncodingOptions
from midframe.process import no_real_time_threads

QUALITY_OPTIONS = {
    "nvenc": "cq",
    "qsv": "global_quality",
    "amf": "qvbr_quality_level",
    "vaapi": "qp",
}
"""Options for constant quality of hardware encoders, by vendor."""
QUALITY_NAMES = frozenset(("crf", *QUALITY_OPTIONS.values()))
WITHOUT_QUALITY = ("ffv1", "prores_ks")
CRF_RANGES = {"libx264": (0, 51), "libx265": (0, 51), "libsvtav1": (1, 63), "libvpx-vp9": (0, 63)}
"""Range of constant quality, from best to worst. FFmpeg clips the value for x264, and SVT-AV1
interprets 0 as its default."""
X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
    "placebo",
)  # fmt: skip
PRESETS = {
    "libx264": X264_PRESETS,
    "libx265": X264_PRESETS,
    "libsvtav1": tuple(map(str, range(14))),
}
"""Presets, from fast to slow; of SVT-AV1 from slow to fast."""
NO_PRESETS = {
    "libvpx-vp9": "give its speed from 0 (slow) to 8 with --encoder-option cpu-used=4",
    "prores_ks": "give its profile from 0 (proxy) to 5 with --encoder-option profile=3",
}
"""Remedies for encoders that have no presets."""
QUIET_OPTIONS = {"libx265": {"x265-params": "log-level=error"}}
"""Options that silence encoders that print to standard error by themselves."""
OPTION_WARNINGS = re.compile(r"Error parsing option|Unknown option|Invalid value")
"""Warnings of FFmpeg about the options in x264-params, x265-params and svtav1-params."""

logger = logging.getLogger(__name__)


def quality_options(encoder: str, crf: int, preset: str | None = None) -> dict[str, str]:
    """Return the encoder options for constant quality, and for the preset if one is given."""
    if encoder in WITHOUT_QUALITY:
        quality = {}
    elif encoder == "libvpx-vp9":
        quality = {"crf": str(crf), "b": "0"}
    else:
        quality = {QUALITY_OPTIONS.get(encoder.rpartition("_")[2], "crf"): str(crf)}
    return quality | ({"preset": preset} if preset else {})


def merge_options(*given: Mapping[str, str]) -> dict[str, str]:
    """Merge options; later ones replace earlier ones, but lists such as x265-params are joined."""
    merged: dict[str, str] = {}
    for options in given:
        for name, value in options.items():
            before = merged.get(name) if name.endswith("-params") else None
            merged[name] = f"{before}:{value}" if before else value
    return merged


def check_quality(encoder: str, crf: int, preset: str | None) -> None:
    """Check that an encoder supports a quality and a preset.

    Raises:
        VideoError: it does not; the text lists the supported ones.
    """
    best, smallest = CRF_RANGES.get(encoder, (crf, crf))
    if not best <= crf <= smallest:
        raise VideoError(f"--crf is {crf}: {encoder} takes {best} (best) to {smallest} (smallest)")
    if preset is None:
        return
    if encoder in NO_PRESETS:
        raise VideoError(f"{encoder} has no presets: {NO_PRESETS[encoder]}")
    if preset not in PRESETS.get(encoder, (preset,)):
        names = PRESETS[encoder]
        known = (
            f"{names[0]} (slow) to {names[-1]} (fast)" if names[0].isdigit() else ", ".join(names)
        )
        raise VideoError(f"{encoder} has no preset {preset!r}: choose from {known}")


def check_encoder(
    context: Any, user_options: Mapping[str, str], crf: int, preset: str | None
) -> None:
    """Open an encoder with its real options, to check before the work that it accepts them.

    Args:
        context: an encoder that is not open yet.
        user_options: the options that the user gave, by FFmpeg's names.
        crf, preset: as in `EncodingOptions`.

    Raises:
        VideoError: the encoder cannot be opened, or does not accept an option.
    """
    name, options = context.codec.name, context.options
    with _capture_log() as log:
        try:
            with opening_encoder():
                context.open()
        except (av.FFmpegError, ValueError, OverflowError) as error:
            reason = next(_texts(log), None) or getattr(error, "strerror", None) or error
            given = ", ".join(f"{key}={value}" for key, value in options.items())
            raise VideoError(
                f"{name} cannot encode {context.width}x{context.height} {context.pix_fmt} with "
                f"{given or 'no options'} "
                f"({reason}): change --encoder-option, or choose another --codec"
            ) from error
    if unknown := [key for key in context.options if key in user_options]:
        raise _unknown_option(name, unknown[0], user_options[unknown[0]])
    if preset and "preset" in context.options:
        raise VideoError(
            f"{name} has no presets: drop --preset; `ffmpeg -h encoder={name}` lists its options"
        )
    if warnings := [line for line in _texts(log) if OPTION_WARNINGS.search(line)]:
        params = ", ".join(
            f"{key}={value}" for key, value in user_options.items() if key.endswith("-params")
        )
        raise VideoError(f"--encoder-option {params}: {name} does not accept it ({warnings[0]})")
    if EncodingOptions(crf=crf).states_crf and (
        name in WITHOUT_QUALITY or QUALITY_NAMES & set(context.options)
    ):
        logger.warning("%s has no constant quality: --crf is ignored", name)


def check_option_names(encoder: str, user_options: Mapping[str, str]) -> None:
    """Check that an encoder has options of these names, without opening it.

    Raises:
        VideoError: it does not have one.
    """
    found = av.CodecContext.create(encoder, "w").supported_options
    names = {option.name for option in (*found.generic, *found.private)}
    if unknown := [key for key in user_options if key not in names]:
        raise _unknown_option(encoder, unknown[0], user_options[unknown[0]])


def _unknown_option(encoder: str, name: str, value: str) -> VideoError:
    return VideoError(
        f"--encoder-option {name}={value}: {encoder} has no option {name!r}; "
        f"`ffmpeg -h encoder={encoder}` lists them"
    )


@contextmanager
def opening_encoder() -> Iterator[None]:
    """Suppress log output except errors, and real-time threads, of encoders that are opened in the
    block."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    with no_real_time_threads():
        yield


@contextmanager
def _capture_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collect the warnings and errors that FFmpeg logs in this thread: level, name and text."""
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as log:
            yield log
    finally:
        av.logging.set_skip_repeated(skip)
        av.logging.set_level(level)


def _texts(log: list[tuple[int, str, str]]) -> Iterator[str]:
    # "Eval" parses numbers for other components, which log their own error
    return (text.strip().rstrip(".") for _, name, text in log if name != "Eval")


def playback_warning(encoder: str, pixel_format: str) -> str | None:
    """Return a warning if few players decode a pixel format of an encoder for H.264 or VP9."""
    form = av.VideoFormat(pixel_format)
    codec = {"libx264": "H.264", "libvpx-vp9": "VP9"}.get(encoder)
    if codec is None:
        return None
    if form.name.startswith(("yuv422", "yuv444")):
        chroma = f"4:{form.name[4]}:{form.name[5]}"
        return (
            f"many devices do not play {codec} of {chroma}: for them, convert the source to 4:2:0 "
            "of an even size"
        )
    if bit_depth(form) > 8:
        return "many devices do not play H.264 of 10 bits: --codec hevc is played by more"
    return None
