"""Checks of the names of sources and results, and default names of results."""

from pathlib import Path

from midframe.cli.options import VideoRequest
from midframe.errors import OptionError, SourceError

KEPT_SUFFIXES = (".mkv", ".mov", ".m4v", ".gif", ".apng")
"""Suffixes that a result inherits from its source by default; results of other sources become
.mp4."""
FOR_ALL_CODECS = ".mkv"
"""Suffix of the container that supports all codecs."""


def result_suffix(source: Path, codec: str | None) -> str:
    """Return the default suffix of a result: that of its source if the container supports the
    codec. For images it is the suffix of their folder, usually none.

    Args:
        source: a video, an animation, or a folder or pattern of images.
        codec: as in `EncodingOptions`.

    Raises:
        VideoError: there is no such codec.
    """
    from midframe.media.containers import CODEC_SUFFIXES
    from midframe.media.reading.image_sequence import is_pattern
    from midframe.media.suffixes import ANIMATIONS
    from midframe.media.writing.encoders import find_encoder

    pictures = is_pattern(source) or source.is_dir()
    source = _without_pattern(source)
    suffix = source.suffix if pictures or source.suffix.lower() in KEPT_SUFFIXES else ".mp4"
    if not codec:
        return suffix
    usual = CODEC_SUFFIXES.get(find_encoder(codec).canonical_name, "")
    is_video = not pictures and suffix.lower() not in ANIMATIONS
    if is_video and (not usual or suffix.lower() in (usual, FOR_ALL_CODECS)):
        return suffix
    return usual or ".mp4"


def default_target(source: Path, request: VideoRequest) -> Path:
    """Return the default path of a result, in the folder of its source.

    Args:
        source: as in `result_suffix`, or standard input; its result goes to standard output.
        request: its label is part of the name.
    """
    from midframe.media.reading.pipes import STREAM

    if source == STREAM:
        return STREAM
    suffix = result_suffix(source, request.codec)
    source = _without_pattern(source)
    if source.name in ("", ".."):  # such as "." and "../.."
        source = source.resolve()
    return source.with_name(f"{source.stem}-{request.label}{suffix}")


def _without_pattern(source: Path) -> Path:
    """Return the folder of a pattern of images, or another source itself."""
    from midframe.media.reading.image_sequence import is_pattern

    if not is_pattern(source):
        return source
    return source.parent if source.parent.name else source.parent.absolute()


def check_exists(source: Path) -> None:
    """Check that a video exists before the libraries that read it are imported.

    Raises:
        SourceError: it does not. Patterns, addresses and standard input are checked elsewhere.
    """
    name = str(source)
    if name != "-" and "%" not in name and ":" not in name and not source.exists():
        raise SourceError(f"{source} does not exist: name a video")


def check_ending(source: Path, target: Path) -> None:
    """Check that the name of a result states whether it is a video or images. A name without an
    ending would mean a folder of images, which is rarely what the user of a video wants.

    Raises:
        OptionError: it has no ending, and is neither a pattern nor a folder that holds images.
    """
    from midframe.media.reading.image_sequence import image_files, is_pattern

    if source.is_dir() or is_pattern(source) or is_pattern(target) or str(target) == "-":
        return
    if target.is_dir() and not image_files(target):
        name = "video.mp4" if str(source) == "-" else source.name
        raise OptionError(
            f"{target} is a folder: name a video as in {target / name}, or images as in "
            f"{target}/%06d.png"
        )
    if target.suffix or target.exists():
        return
    raise OptionError(
        f"{target} has no ending: name a video as in {target}.mp4, or images as in "
        f"{target}/%06d.png"
    )
