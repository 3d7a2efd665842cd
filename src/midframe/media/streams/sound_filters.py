"""Filter graphs of sound: conversion to one rate and layout, and stretching at constant pitch.

Between them, samples are float32 arrays (samples, channels).
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, log2
from typing import Any

import av
import numpy as np

from midframe.media.colour.filters import pull_frames
from midframe.media.pictures.images import Array
from midframe.media.streams.sound_format import (
    SoundEncoding,
    SoundFormat,
    cyclic_mix,
    pan_arguments,
)

PADDING = 0.5
"""Seconds of silence that are appended to stretched sound and removed afterwards, because `atempo`
does not output its last window."""
MAX_SAMPLE = 16.0
"""Float samples are clipped to this; damaged packets decode to huge values, which encoders
refuse."""


class Resampler:
    """Converts sound of one format to arrays with the rate and layout of the result.

    Raises:
        av.FFmpegError, ValueError: FFmpeg cannot convert sound of this format.
    """

    def __init__(self, sound: SoundFormat, encoding: SoundEncoding) -> None:
        self.sound = sound
        self.channels = encoding.channels
        self.skip = 0
        """Number of samples to drop, because they overlap earlier ones."""
        mixing = pan_arguments(sound, encoding)
        try:
            self._build(encoding, mixing)
        except av.FFmpegError:
            if mixing:
                raise
            self._build(encoding, cyclic_mix(sound, encoding))

    def _build(self, encoding: SoundEncoding, mixing: str | None) -> None:
        self._graph = av.filter.Graph()
        filters = [self._graph.add("pan", mixing)] if mixing else []
        filters += [self._graph.add("aresample", str(encoding.rate))]
        self._begin, self._last = _link(self._graph, self.sound, filters, encoding.layout)

    def feed(self, frame: Any) -> Iterator[Array]:
        """Add a frame; yield the samples that are ready."""
        frame.pts = None
        self._begin.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Array]:
        """Yield the last samples."""
        self._begin.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Array]:
        for frame in pull_frames(self._last):
            samples = frame.to_ndarray().reshape(-1, self.channels)  # packed, so there is one plane
            new = samples[max(0, self.skip) :]
            self.skip = max(0, self.skip - len(samples))
            if len(new):
                clean = np.nan_to_num(new, nan=0.0, posinf=MAX_SAMPLE, neginf=-MAX_SAMPLE)
                yield np.clip(clean, -MAX_SAMPLE, MAX_SAMPLE)


class Stretcher:
    """Stretches sound at constant pitch, and outputs frames with the times of the result."""

    def __init__(self, encoding: SoundEncoding, slow: Fraction) -> None:
        self.encoding = encoding
        self.slow = slow
        self._graph: av.filter.Graph | None = None
        self._first: int | None = None
        """Index of the first sample of the output."""
        self._samples_in = 0
        self._samples_out = 0

    def begin_at(self, sample: int) -> None:
        """Set the position of the first sample before stretching; later calls have no effect."""
        if self._first is None:
            self._first = round(sample * self.slow)

    def feed(self, samples: Array) -> Iterator[Any]:
        """Add samples; yield the frames that are ready."""
        frame = self._frame(samples)
        frame.pts = self._samples_in
        self._samples_in += len(samples)
        if self.slow == 1:
            yield self._make_frame(samples)
            return
        if self._graph is None:
            self._graph = self._new_graph()
        self._begin.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Any]:
        """Yield the last frames."""
        if self._graph is not None:
            self._begin.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        """Yield the frames that are ready, cut to the duration of the stretched sound, because
        `atempo` pads its last window."""
        for frame in pull_frames(self._last):
            samples = frame.to_ndarray().reshape(-1, self.encoding.channels)
            samples = samples[: max(0, round(self._samples_in * self.slow) - self._samples_out)]
            if len(samples):
                yield self._make_frame(samples)

    def _make_frame(self, samples: Array) -> Any:
        assert self._first is not None
        frame = self._frame(samples)
        frame.pts = self._first + self._samples_out
        self._samples_out += len(samples)
        return frame

    def _frame(self, samples: Array) -> Any:
        packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self.encoding.layout)
        frame.sample_rate = self.encoding.rate
        frame.time_base = Fraction(1, self.encoding.rate)
        return frame

    def _new_graph(self) -> av.filter.Graph:
        graph = av.filter.Graph()
        count = ceil(log2(self.slow))  # one atempo halves the tempo at most
        filters = [graph.add("apad", f"pad_dur={PADDING}")]
        filters += [
            graph.add("atempo", f"{float(self.slow) ** (-1 / count):.12f}") for _ in range(count)
        ]
        sound = SoundFormat(self.encoding.rate, "flt", self.encoding.layout, self.encoding.channels)
        self._begin, self._last = _link(graph, sound, filters, self.encoding.layout)
        return graph


def _link(
    graph: av.filter.Graph, sound: SoundFormat, filters: list[Any], layout: str
) -> tuple[Any, Any]:
    """Link a graph that converts to packed float samples of a layout; return its source and
    sink."""
    begin = graph.add_abuffer(
        sample_rate=sound.rate,
        format=sound.sample_format,
        layout=sound.layout,
        time_base=Fraction(1, sound.rate),
    )
    form = graph.add("aformat", sample_fmts="flt", channel_layouts=layout)
    last = graph.add("abuffersink")
    graph.link_nodes(begin, *filters, form, last).configure()
    return begin, last
