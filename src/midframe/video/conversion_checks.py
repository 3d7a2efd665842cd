"""Checks of the source, the result and the encoder before PyTorch is imported, which takes
seconds."""

from pathlib import Path

from midframe.media.reading.sources import check_source
from midframe.media.writing.encoders import check_options
from midframe.options import EncodingOptions
from midframe.video.sinks.targets import target_for
from midframe.video.sinks.video_file import VideoFileTarget


def check_conversion(
    source: Path, target: Path, options: EncodingOptions, *, overwrite: bool, resume: bool
) -> None:
    """Check source, target and encoder options of a conversion, without decoding.

    Args:
        source, target, overwrite, resume: as in `interpolate_video`.
        options: of the encoder.

    Raises:
        VideoError: the source cannot be read, the target cannot be written, or the encoder does not
            accept the options.
    """
    result = target_for(target, options)
    result.check(source, overwrite=overwrite, resume=resume)
    check_source(source)
    if isinstance(result, VideoFileTarget):
        check_options(result.options, target.suffix)
