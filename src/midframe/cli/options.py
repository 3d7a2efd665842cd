"""Options that several commands share: conversion from the command line to the dataclasses of
`midframe.options`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import typer

from midframe.cli.config import drop_configured
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
    HardwareDecoding,
    Model,
    Mute,
    Overlays,
    PrecisionOption,
    Preset,
    PresetFile,
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


def takes_options(read: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the command-line options of `read` to a command.

    The decorated function has one keyword-only parameter whose type is the return type of `read`.
    The decorator replaces this parameter, in the signature that Typer sees, by the parameters of
    `read`. When the command is called, it passes them to `read`, and the result to the function.

    Args:
        read: converts options of the command line to one value.
    """
    signature = inspect.signature(read, eval_str=True)
    shared = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        original = inspect.signature(function, eval_str=True)
        replaced = next(
            each.name
            for each in original.parameters.values()
            if each.annotation is signature.return_annotation
        )
        parameters: list[inspect.Parameter] = []
        for each in original.parameters.values():
            parameters += shared if each.name == replaced else [each]
        combined = original.replace(parameters=parameters)

        @wraps(function)
        def with_options(*arguments: Any, **named: Any) -> Any:
            bound = combined.bind(*arguments, **named)
            bound.apply_defaults()
            values = bound.arguments
            values[replaced] = read(**{each.name: values.pop(each.name) for each in shared})
            return function(**values)

        with_options.__signature__ = combined  # type: ignore[attr-defined]
        return with_options

    return decorate


def read_interpolation_options(
    preset_file: PresetFile = None,
    quality: Quality = "standard",
    model: Model = InterpolationOptions.model,
    device: Device = InterpolationOptions.device,
    tile: Tile = InterpolationOptions.tile,
    scale: Scale = InterpolationOptions.scale,
    ensemble: Ensemble = InterpolationOptions.ensemble,
    precision: PrecisionOption = InterpolationOptions.precision,
    threads: Threads = None,
) -> InterpolationOptions:
    """Return the options as a dataclass.

    `preset_file`, `quality` and `threads` are not used here: their callbacks have applied them.

    Raises:
        OptionError: an option has an invalid value.
    """
    return InterpolationOptions(model, device, tile, scale, ensemble, precision)


@takes_options(read_interpolation_options)
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
    hwaccel: HardwareDecoding = SourceOptions.hwaccel,
    *,
    interpolation: InterpolationOptions,
    codec: Codec = EncodingOptions.codec,
    crf: Crf = EncodingOptions.crf,
    preset: Preset = EncodingOptions.preset,
    encoder_option: EncoderOption = None,
    mute: Mute = EncodingOptions.mute,
) -> VideoRequest:
    """Return the options of a video.

    Raises:
        OptionError: an option has an invalid value, or two options exclude each other.
    """
    if factor is not None and fps is not None:
        factor, fps = drop_configured(context, factor=factor, fps=fps)
    retiming = RetimingOptions(factor, fps, slow, vfr=vfr, cut=cut, dedup=dedup, overlays=overlays)
    source = SourceOptions(
        start,
        end,
        source_fps,
        deinterlace=deinterlace,
        cut_threshold=cut_threshold,
        strict=strict,
        hwaccel=hwaccel,
    )
    encoding = EncodingOptions(codec, crf, preset, parse_pairs(encoder_option or []), mute=mute)
    label = _make_label(factor, fps, slow)
    return VideoRequest(interpolation, VideoOptions(retiming, source, encoding), label)


def _make_label(factor: Factor, fps: Fps, slow: Slow) -> str:
    """Return the label of a result, such as x2, 60fps or 60fps-slow4."""
    labels = []
    if factor or not (fps or slow):
        labels.append(f"x{float(factor or 2):g}")
    if fps:
        labels.append(f"{fps}fps".replace("/", "-"))
    if slow:
        labels.append(f"slow{slow:g}")
    return "-".join(labels)


takes_interpolation_options = takes_options(read_interpolation_options)
takes_video_options = takes_options(read_video_options)


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
