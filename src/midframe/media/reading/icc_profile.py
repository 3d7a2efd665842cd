"""The ICC profile of a source."""

from midframe.media.pictures.images import is_srgb
from midframe.media.reading.source import Contents


def lost_profile(contents: Contents) -> list[str]:
    """The ICC profile of a source's images, where the result has none and is not what players
    show without one."""
    profile = contents.icc_profile
    return (
        []
        if profile is None or is_srgb(profile)
        else ["ICC profile (the result has none, so its colours look different)"]
    )
