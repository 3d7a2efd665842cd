"""The resolution at which FlowSep processes frames."""

MAX_ROWS = 600
"""Maximum length in pixels of the shorter side at the processed resolution; larger frames are
downsampled by 2, 4 and so on."""


def scale_for(height: int, width: int) -> int:
    """Return the factor of downsampling: the smallest power of two after which the shorter side has
    at most `MAX_ROWS` pixels."""
    scale = 1
    while min(height, width) > MAX_ROWS * scale:
        scale *= 2
    return scale


def count_halvings(default: int, scale: int) -> int:
    """Return how often frames downsampled by `scale` are halved to reach the default scale."""
    return max(0, default.bit_length() - scale.bit_length())
