"""Choosing the target by the path of a result: a video, an animation, an image sequence, or
standard output."""

import logging
from dataclasses import replace
from pathlib import Path

from midframe.errors import VideoError
from midframe.media.containers import CONTAINERS, default_codec
from midframe.media.reading.image_sequence import DEFAULT_NAME, is_pattern
from midframe.media.reading.pipes import STREAM
from midframe.media.suffixes import ANIMATIONS
from midframe.options import EncodingOptions
from midframe.outputs import real_path
from midframe.video.sinks.animation import AnimationTarget
from midframe.video.sinks.image_sequence import ImageSequenceTarget
from midframe.video.sinks.pipe import PipeTarget
from midframe.video.sinks.protocol import Target
from midframe.video.sinks.video_file import VideoFileTarget

log = logging.getLogger(__name__)

SegmentedTarget = VideoFileTarget | AnimationTarget
"""Targets of files whose frames are encoded in segments."""


def target_for(path: Path, options: EncodingOptions) -> Target:
    """Return the target for the path of a result.

    Args:
        path: of the result.
        options: of the encoding.

    Raises:
        VideoError: the suffix is not supported, or the target does not support the options.
    """
    suffix = path.suffix.lower()
    if suffix in (*CONTAINERS, *ANIMATIONS) and not path.is_dir():
        path = real_path(path)
    if suffix in CONTAINERS and path != STREAM and not is_pattern(path) and not path.is_dir():
        codec = options.codec or default_codec(suffix)
        return VideoFileTarget(path, replace(options, codec=codec))
    target: type[PipeTarget | AnimationTarget | ImageSequenceTarget]
    if path == STREAM:
        target = PipeTarget
    elif suffix in ANIMATIONS:
        target = AnimationTarget
    elif is_pattern(path) or not suffix or path.is_dir():
        target = ImageSequenceTarget
    else:
        known = " ".join((*CONTAINERS, *ANIMATIONS))
        raise VideoError(
            f"{path}: choose a name that ends in one of {known}, or images such as "
            f"frames/{DEFAULT_NAME}"
        )
    if options.codec or options.preset or options.encoder_options:
        raise VideoError(
            f"{path} does not use --codec, --preset or --encoder-option: drop them, or name an "
            ".mp4 file"
        )
    if options.states_crf:
        log.warning("%s has no constant quality: --crf is ignored", path)
    return target(path, options)
