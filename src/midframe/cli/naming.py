"""Names of results that are given none, and options of encoders as they are typed."""

from fractions import Fraction
from pathlib import Path

from midframe.errors import OptionError, SourceError

KEPT_SUFFIXES = (".mkv", ".mov", ".m4v", ".gif", ".apng")
"""Suffixes that a result without a given name takes from its source; others become .mp4."""
FOR_ALL_CODECS = ".mkv"


def check_exists(source: Path) -> None:
    """Check that a video exists before the libraries that read it are imported.

    Raises:
        SourceError: it does not. Patterns, addresses and standard input are checked elsewhere.
    """
    name = str(source)
    if name != "-" and "%" not in name and ":" not in name and not source.exists():
        raise SourceError(f"{source} does not exist: name a video")


def options_of(texts: list[str]) -> dict[str, str]:
    """Parse options such as tune=film; raises an OptionError if one has no name or no value."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals or not name]:
        raise OptionError(
            f"--encoder-option {wrong[0]}: a name and a value are needed, as in tune=film"
        )
    return {name: value for name, _, value in pairs}


def default_target(
    source: Path,
    factor: Fraction | int | None,
    fps: str | None,
    slow: float | None,
    *,
    codec: str | None = None,
) -> Path:
    """Choose the name of a result that is given none: in the source's own container where that
    holds the codec.

    Args:
        source, factor, fps, slow: as of `interpolate_video`.
        codec: as of `interpolate_video`.
    """
    from midframe.media.reading.image_sequence import is_pattern
    from midframe.media.reading.pipes import STREAM
    from midframe.media.writing.animation import SUFFIXES as ANIMATIONS
    from midframe.media.writing.containers import CODEC_SUFFIXES
    from midframe.media.writing.encoders import find_encoder

    parts = [f"x{float(factor or 2):g}"] if factor or not (fps or slow) else []
    parts += [f"{fps}fps".replace("/", "-")] if fps else []
    parts += [f"slow{slow:g}"] if slow else []
    if source == STREAM:
        return STREAM
    pictures = is_pattern(source) or source.is_dir()
    if is_pattern(source):
        source = source.parent if source.parent.name else source.parent.absolute()
    suffix = source.suffix if pictures or source.suffix.lower() in KEPT_SUFFIXES else ".mp4"
    if codec:
        usual = CODEC_SUFFIXES.get(find_encoder(codec).canonical_name, "")
        of_film = not pictures and suffix.lower() not in ANIMATIONS
        suffix = (
            suffix
            if of_film and (not usual or suffix.lower() in (usual, FOR_ALL_CODECS))
            else usual or ".mp4"
        )
    return source.with_name(f"{source.stem}-{'-'.join(parts)}{suffix}")
