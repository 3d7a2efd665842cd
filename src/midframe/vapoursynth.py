"""Frame interpolation in VapourSynth scripts.

    import vapoursynth as vs
    from midframe.vapoursynth import interpolate

    clip = vs.core.resize.Bicubic(clip, format=vs.RGBS, matrix_in_s="709")
    clip = interpolate(clip, factor=2)

Frames can be requested in any order and in parallel. Each is rendered when it is requested.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from midframe.errors import MidframeError, OptionError
from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.models.network import Network
from midframe.ops.workers import Workers
from midframe.options import (
    EnsembleSize,
    InterpolationOptions,
    Precision,
    RetimingOptions,
    SourceOptions,
)
from midframe.rates import Rate
from midframe.video.lookup import FrameContent, FrameLookup

try:
    import vapoursynth as vs
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'VapourSynth is not installed: pip install "midframe[vapoursynth]" (Python 3.12 or newer)'
    ) from error

FORMATS = (vs.RGB24, vs.RGB48, vs.RGBH, vs.RGBS)
"""Supported formats: the array types of `Interpolator`, and half precision."""
MAX_SCORE = 100
"""Scene change scores are from 0 to this."""
LIMITED_RANGE = 255 / 256
"""`PlaneStatsDiff` is relative to 255, the scores of FFmpeg's scdet are relative to 256."""


def interpolate(
    clip: vs.VideoNode,
    factor: Rate | None = RetimingOptions.factor,
    *,
    fps: Rate | None = RetimingOptions.fps,
    scene_change: float = SourceOptions.cut_threshold,
    model: Network | str = InterpolationOptions.model,
    device: str = InterpolationOptions.device,
    tile: int | None = InterpolationOptions.tile,
    scale: int | None = InterpolationOptions.scale,
    ensemble: EnsembleSize = InterpolationOptions.ensemble,
    precision: Precision = InterpolationOptions.precision,
) -> vs.VideoNode:
    """Interpolate frames of a clip.

    Frames of the clip keep their samples. Across a scene change, and after the last frame, the
    frame before is held. `_DurationNum` and `_DurationDen` of all frames are set.

    Args:
        clip: RGB24, RGB48, RGBH or RGBS, with one format and size for all frames.
        factor: multiple of the frame rate, as in 2 or "2.5"; 2 if None and `fps` is None. A whole
            number if the clip has a variable frame rate.
        fps: frames per second of the result, as in 60 or "60000/1001", instead of `factor`.
        scene_change: score, from 0 to 100, from which a change counts as a scene change, as
            `cut_threshold` in `SourceOptions`; frames that have the property `_SceneChangeNext`
            are not measured: the property decides. 0 ignores scene changes, and the properties.
        model: a network, or the name or file of weights.
        device, tile, scale, ensemble, precision: as in `InterpolationOptions`.

    Returns:
        A clip of the same format.

    Raises:
        vapoursynth.Error: the clip is not supported, an option has an invalid value, or the
            weights cannot be loaded.
    """
    _check_clip(clip)
    if not 0 <= scene_change <= MAX_SCORE:
        raise vs.Error(f"midframe: scene_change is {scene_change}: 0 to {MAX_SCORE} is needed")
    try:
        options = RetimingOptions(factor=factor, fps=fps)
        interpolator = Interpolator(
            model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision
        )
        lookup = FrameLookup(clip.num_frames, clip.fps or None, options, interpolator.depth)
    except (OptionError, MidframeError) as error:
        raise vs.Error(f"midframe: {error}") from error
    marked = mark_scene_changes(clip, scene_change) if scene_change else clip
    return _Result(marked, lookup, interpolator, scenes=scene_change > 0).node()


def mark_scene_changes(clip: vs.VideoNode, threshold: float) -> vs.VideoNode:
    """Set `_SceneChangeNext` and `_SceneChangePrev` of the frames that do not have them.

    Scores are those of FFmpeg's scdet: the mean absolute difference to the next frame, or its
    change from that between the two frames before, whichever is smaller.

    Args:
        clip: RGB.
        threshold: score, from 0 to 100, from which a change counts as a scene change.
    """
    luma = clip.resize.Point(format=vs.GRAY8, matrix_s="709", range_s="limited")
    after = luma.std.DuplicateFrames(luma.num_frames - 1)[1:]
    differences = luma.std.PlaneStats(after)  # each frame with the next
    before = differences.std.DuplicateFrames(0)[:-1]
    before2 = before.std.DuplicateFrames(0)[:-1]

    def mark(n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        frame, *measured = f
        if "_SceneChangeNext" in frame.props:
            return frame
        # none before the first frame
        values = [each.props.PlaneStatsDiff * MAX_SCORE * LIMITED_RANGE for each in measured]
        to_next, from_previous, earlier = (
            value if n >= place else 0.0 for place, value in enumerate(values)
        )
        marked = frame.copy()
        marked.props["_SceneChangeNext"] = int(_score(to_next, from_previous) >= threshold)
        marked.props["_SceneChangePrev"] = int(_score(from_previous, earlier) >= threshold)
        return marked

    return clip.std.ModifyFrame([clip, differences, before, before2], mark)


def _score(difference: float, previous: float) -> float:
    return min(difference, abs(difference - previous))


class _Result:
    """The frames of a result, rendered one by one.

    Args:
        clip: the source.
        lookup: finds the content of each frame.
        interpolator: interpolates.
        scenes: hold frames at scene changes.
    """

    def __init__(
        self, clip: vs.VideoNode, lookup: FrameLookup, interpolator: Interpolator, *, scenes: bool
    ) -> None:
        self.clip, self.lookup, self.interpolator, self.scenes = clip, lookup, interpolator, scenes
        self.workers = Workers(interpolator.pairs_at_once(clip.height, clip.width))

    def node(self) -> vs.VideoNode:
        """Return the clip of all frames."""
        rate = self.lookup.rate or Fraction(0)  # 0 marks a variable rate
        blank = self.clip.std.BlankClip(
            length=self.lookup.frames, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
        )
        return blank.std.FrameEval(self._frame, clip_src=[self.clip])

    def _frame(self, n: int) -> vs.VideoNode:
        """Return a clip with one frame of the result; a filter of its own for each frame, because
        VapourSynth runs a filter in one thread at a time."""
        content = self.lookup.content(n)
        source = content.source
        first = self.clip[source]
        clips = [first, self.clip[source + 1]] if content.t else [first]
        ends = n + 1 == self.lookup.frames or self.lookup.content(n + 1).source > source
        begins = n == 0 or self.lookup.content(n - 1).source < source
        return first.std.ModifyFrame(
            clips, partial(self._render, content=content, begins=begins, ends=ends)
        )

    def _render(self, n: int, f: Any, content: FrameContent, begins: bool, ends: bool) -> Any:
        frames = f if isinstance(f, list) else [f]
        result = frames[0].copy()
        self._set_properties(result.props, content, begins=begins, ends=ends)
        if content.t and not (self.scenes and frames[0].props.get("_SceneChangeNext")):
            first, second = map(to_array, frames)
            job = self.workers.submit(self.interpolator.interpolate, first, second, content.t)
            write_array(result, job.result())
        return result

    def _set_properties(
        self, props: Any, content: FrameContent, *, begins: bool, ends: bool
    ) -> None:
        duration = _duration(props, 1 / self.clip.fps if self.clip.fps else None)
        if duration is not None and "_AbsoluteTime" in props:
            props["_AbsoluteTime"] += float(content.begin * duration)
        rate = self.lookup.rate
        length = 1 / rate if rate else duration and duration * self._fraction
        if length is not None:
            props["_DurationNum"], props["_DurationDen"] = length.numerator, length.denominator
        for name, at_border in (("_SceneChangePrev", begins), ("_SceneChangeNext", ends)):
            if name in props and not at_border:
                props[name] = 0

    @property
    def _fraction(self) -> Fraction:
        """Return the duration of a frame of the result, in durations of its source frame."""
        return Fraction(self.clip.num_frames, self.lookup.frames)


def _duration(props: Any, default: Fraction | None) -> Fraction | None:
    """Return the duration of a source frame in seconds; None if it is not known."""
    if default is not None or not props.get("_DurationDen"):
        return default
    return Fraction(props["_DurationNum"], props["_DurationDen"])


def to_array(frame: vs.VideoFrame) -> Array:
    """Return an RGB frame as an array (H, W, 3): integers as they are, floats as float32."""
    planes = np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1)
    return planes.astype(np.float32) if planes.dtype == np.float16 else planes


def write_array(frame: vs.VideoFrame, image: Array) -> None:
    """Write an array (H, W, 3) to an RGB frame."""
    for plane in range(3):
        np.copyto(np.asarray(frame[plane]), image[..., plane], casting="same_kind")


def _check_clip(clip: Any) -> None:
    """Raise a vapoursynth.Error with the remedy unless a clip can be interpolated."""
    if not isinstance(clip, vs.VideoNode):
        raise vs.Error(f"midframe: a video clip is needed, got {type(clip).__name__}")
    if not (clip.format and clip.format.id and clip.width and clip.height):
        raise vs.Error(
            "midframe: the clip has a variable format or size: convert it first, as in "
            "clip.resize.Bicubic(width=1280, height=720, format=vs.RGBS)"
        )
    if clip.format.id not in FORMATS:
        matrix = 'matrix_in_s="709"' if clip.format.color_family != vs.RGB else ""
        convert = f"format=vs.RGBS{', ' if matrix else ''}{matrix}"
        raise vs.Error(
            f"midframe: the clip is {clip.format.name}: RGB24, RGB48, RGBH or RGBS is needed, "
            f"as in clip.resize.Bicubic({convert})"
        )
