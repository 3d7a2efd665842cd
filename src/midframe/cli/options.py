"""Options that several commands share: conversion from the command line to the dataclasses of
`midframe.options`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import typer

from midframe.cli.config import without_configured
from midframe.cli.parameters import (
    DEFAULT_START,
    Codec,
    Crf,
    Cut,
    CutThreshold,
    Dedup,
    Deinterlace,
    Device,
    EncoderOption,
    End,
    Ensemble,
    Factor,
    Fps,
    Model,
    Mute,
    Overlays,
    PrecisionOption,
    Preset,
    Quality,
    Scale,
    Slow,
    SourceFps,
    Start,
    Strict,
    Threads,
    Tile,
    VariableRate,
)
from midframe.errors import OptionError
from midframe.options import (
    EncodingOptions,
    InterpolationOptions,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
)


@dataclass(frozen=True)
class VideoRequest:
    """The options of a video from the command line."""

    interpolation: InterpolationOptions
    video: VideoOptions
    label: str
    """Part of the default name of the result: x2, 60fps or slow4."""

    @property
    def codec(self) -> str | None:
        """Return the codec as given on the command line."""
        return self.video.encoding.codec


def read_video_options(
    context: typer.Context,
    factor: Factor = None,
    fps: Fps = None,
    slow: Slow = None,
    vfr: VariableRate = RetimingOptions.vfr,
    cut: Cut = RetimingOptions.cut,
    dedup: Dedup = RetimingOptions.dedup,
    overlays: Overlays = RetimingOptions.overlays,
    start: Start = DEFAULT_START,
    end: End = None,
    source_fps: SourceFps = None,
    deinterlace: Deinterlace = SourceOptions.deinterlace,
    cut_threshold: CutThreshold = SourceOptions.cut_threshold,
    strict: Strict = SourceOptions.strict,
    quality: Quality = "standard",
    model: Model = InterpolationOptions.model,
    device: Device = InterpolationOptions.device,
    tile: Tile = InterpolationOptions.tile,
    scale: Scale = InterpolationOptions.scale,
    ensemble: Ensemble = InterpolationOptions.ensemble,
    precision: PrecisionOption = InterpolationOptions.precision,
    threads: Threads = None,
    codec: Codec = EncodingOptions.codec,
    crf: Crf = EncodingOptions.crf,
    preset: Preset = EncodingOptions.preset,
    encoder_option: EncoderOption = None,
    mute: Mute = EncodingOptions.mute,
) -> VideoRequest:
    """Return the options as dataclasses; `quality` and `threads` are applied by their callbacks.

    Raises:
        OptionError: an option has an invalid value, or two options exclude each other.
    """
    if factor is not None and fps is not None:
        factor, fps = without_configured(context, factor=factor, fps=fps)
    retiming = RetimingOptions(factor, fps, slow, vfr=vfr, cut=cut, dedup=dedup, overlays=overlays)
    source = SourceOptions(
        start, end, source_fps, deinterlace=deinterlace, cut_threshold=cut_threshold, strict=strict
    )
    encoding = EncodingOptions(codec, crf, preset, parse_pairs(encoder_option or []), mute=mute)
    interpolation = InterpolationOptions(model, device, tile, scale, ensemble, precision)
    labels = [f"x{float(factor or 2):g}"] if factor or not (fps or slow) else []
    labels += [f"{fps}fps".replace("/", "-")] if fps else []
    labels += [f"slow{slow:g}"] if slow else []
    return VideoRequest(interpolation, VideoOptions(retiming, source, encoding), "-".join(labels))


def takes_video_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `read_video_options` to a command, and pass their values as its first
    argument.

    Args:
        command: whose first parameter is a VideoRequest, and whose others are parameters of the
            command line, positional ones first.
    """
    shared = inspect.signature(read_video_options).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def with_options(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared}
        command(read_video_options(**options), **given)

    positional = [each for each in own if not _is_option(each)]
    flags = [each for each in own if _is_option(each)]
    order = [*positional, *shared.values(), *flags]
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in order]
    with_options.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    return with_options


def _is_option(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter is an option of the command line, not an argument."""
    metadata = getattr(parameter.annotation, "__metadata__", ())
    return any(type(each).__name__ == "OptionInfo" for each in metadata)


def parse_pairs(texts: list[str]) -> dict[str, str]:
    """Parse options such as tune=film.

    Raises:
        OptionError: one has no name or no value.
    """
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals or not name]:
        raise OptionError(
            f"--encoder-option {wrong[0]}: a name and a value are needed, as in tune=film"
        )
    return {name: value for name, _, value in pairs}
