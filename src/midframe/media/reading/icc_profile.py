"""The ICC profile of a source."""

from midframe.media.pictures.images import is_srgb
from midframe.media.reading.image_sequence import ArrayReader
from midframe.media.reading.reader import VideoReader


def profile_of(reader: VideoReader) -> bytes | None:
    """Return the ICC profile of a source's frames."""
    return reader.icc_profile if isinstance(reader, ArrayReader) else None


def lost_profile(reader: VideoReader) -> list[str]:
    """Describe the loss of a source's ICC profile, if that changes how players show a result
    without one."""
    profile = profile_of(reader)
    return (
        []
        if profile is None or is_srgb(profile)
        else ["ICC profile (the result has none, so its colours look different)"]
    )
