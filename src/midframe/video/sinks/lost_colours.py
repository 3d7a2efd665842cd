"""What the pixel formats and the files of results do not store of the colours of a source."""

import av

from midframe.media.pictures.picture import HDR_TRANSFERS
from midframe.media.pixel_formats import is_rgb
from midframe.video.sinks.protocol import Conversion

BLOCK = 64
"""Width and height of an area of which samples are counted; a multiple of all subsamplings."""


def lost_samples(source: av.VideoFormat, result: str) -> list[str]:
    """List what a pixel format does not hold of the samples of another one: bits, and resolution of
    chroma. That of RGB is not counted, because videos usually have less.

    Examples:
        >>> lost_samples(av.VideoFormat("yuv444p12le"), "yuv420p10le")
        ['bits beyond 10 of each sample (yuv420p10le: ffv1 keeps them)', \
'chroma resolution (yuv420p10le has less than yuv444p12le: ffv1 keeps it)']
    """
    held = av.VideoFormat(result)
    lost = []
    if _bits(source) > _bits(held):
        lost.append(f"bits beyond {_bits(held)} of each sample ({result}: ffv1 keeps them)")
    if not is_rgb(source) and _chroma_samples(source) > _chroma_samples(held):
        lost.append(f"chroma resolution ({result} has less than {source.name}: ffv1 keeps it)")
    return lost


def lost_transfer(conversion: Conversion, result: str) -> list[str]:
    """List the transfer function of HDR for a result that does not store it."""
    hdr = conversion.picture.color_trc in HDR_TRANSFERS
    return [f"HDR transfer function ({result} does not store it)"] if hdr else []


def _bits(form: av.VideoFormat) -> int:
    return max(int(part.bits) for part in form.components if not part.is_alpha)


def _chroma_samples(form: av.VideoFormat) -> int:
    """Return the number of samples of each chroma component in a block of pixels."""
    if sum(not part.is_alpha for part in form.components) < 3:
        return 0
    if is_rgb(form):
        return BLOCK * BLOCK
    return int(form.chroma_width(BLOCK) * form.chroma_height(BLOCK))
