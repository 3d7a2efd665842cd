"""Properties of FFmpeg's pixel formats, and its formats of RGB."""

import av

PACKED_RGB = {
    (False, False): "rgb24",
    (False, True): "rgba",
    (True, False): "rgb48le",
    (True, True): "rgba64le",
}
"""RGB in one plane in the byte order of NumPy, by (high bit depth, alpha)."""
PNG_RGB = {**PACKED_RGB, (True, False): "rgb48be", (True, True): "rgba64be"}
"""RGB of PNG, by (high bit depth, alpha)."""


def bit_depth(pixel_format: av.VideoFormat) -> int:
    """Return the largest number of bits of a sample."""
    return max(int(component.bits) for component in pixel_format.components)


def is_rgb(pixel_format: av.VideoFormat) -> bool:
    """Return whether a pixel format stores RGB or palette indices."""
    return bool(pixel_format.is_rgb or pixel_format.has_palette)


def has_alpha(pixel_format: av.VideoFormat) -> bool:
    """Return whether a pixel format has alpha."""
    return bool(
        pixel_format.has_palette or any(component.is_alpha for component in pixel_format.components)
    )
