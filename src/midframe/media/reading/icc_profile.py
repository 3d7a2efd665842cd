"""The ICC profile of a source."""

from midframe.media.pictures.images import is_srgb
from midframe.media.reading.source import Contents


def lost_profile(contents: Contents) -> list[str]:
    """List the ICC profile of a source as lost, for results without one; sRGB is the default of
    players, and not lost."""
    profile = contents.icc_profile
    if profile is None or is_srgb(profile):
        return []
    return ["ICC profile (the result has none, so its colours look different)"]
