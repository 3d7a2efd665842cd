"""Video encoders of FFmpeg, by common codec names, with one option for quality."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av.codec import find_best_pix_fmt_of_list
from av.codec.context import Flags

from midframe.errors import VideoError
from midframe.media.colour.conversion import Colour, convert_format
from midframe.media.colour.flattening import flatten
from midframe.media.colour.hdr import hdr_metadata_of, hdr_metadata_options
from midframe.media.containers import (
    CODEC_SUFFIXES,
    WITHOUT_GLOBAL_HEADER,
    default_codec,
    supported_codecs,
)
from midframe.media.pixel_formats import bit_depth, has_alpha, is_rgb
from midframe.media.writing.codecs import ENCODERS, encoder_name
from midframe.media.writing.encoder_options import (
    QUIET_OPTIONS,
    check_encoder,
    check_option_names,
    check_quality,
    merge_options,
    opening_encoder,
    quality_options,
)
from midframe.options import EncodingOptions

CAPTION_OPTIONS = {"libx265": {"a53cc": "1"}}
"""Options for encoders that do not write closed captions by default."""
ALPHA_OF = {"libx265": (), "libvpx-vp9": ("yuva420p",)}
"""Pixel formats with alpha of encoders that list more: x265 accepts these only if built for that,
and VP9 with these is an experiment in FFmpeg, because players do not support it."""
LOSSLESS = "ffv1"
LOSSLESS_RGB = {
    (False, False): "bgr0",
    (False, True): "bgra",
    (True, False): "rgb48le",
    (True, True): "rgba64le",
}
"""Pixel formats that keep every bit of RGB, by depth and alpha."""
COMMON_FORMATS = {
    False: ("yuv420p", "nv12", "yuv422p", "yuv422p10le"),
    True: ("yuv420p10le", "yuv422p10le", "yuv420p"),
}
"""Pixel formats that replace unsupported ones, by high bit depth, the preferred one first."""
FULL_CHROMA_FORMATS = {False: ("yuv444p", "yuv444p10le"), True: ("yuv444p10le",)}
"""Pixel formats for frames of an odd size, by high bit depth."""
ALPHA_FORMATS = ("yuva444p10le", "yuva444p", "yuva420p")
"""Pixel formats that replace unsupported ones with alpha."""
HEVC_TAG = "hvc1"
"""Tag of HEVC in MP4 that Apple's players require."""
NO_B_FRAMES = {"bf": "0"}
"""Options for AVI, which has no timestamps: no B-frames, so that frames are stored in display
order."""
DEFAULT_OPTIONS = EncodingOptions()
THREADS_OF_X264 = re.compile(rb" threads=(\d+)")
"""In the comment before the first frame."""


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded. The packets of encoders that are opened with the same encoding can be
    joined in one stream."""

    encoder: str
    """FFmpeg's name."""
    options: Mapping[str, str]
    pixel_format: str
    width: int
    height: int
    time_base: Fraction
    """Of the frames' pts."""
    rate: Fraction
    """Average frames per second."""
    colour: Colour
    """How the samples represent colours."""
    primaries: int
    transfer: int
    sample_aspect_ratio: Fraction | None
    """Width of a pixel divided by its height."""
    global_header: bool = True
    """Parameter sets are in the header of the file, not before key frames as in AVI and MPEG-TS."""
    threads: int = 0
    """Threads of the encoder; 0 for its own choice, by the number of processor cores."""

    def new_encoder(self) -> Any:
        """Create an encoder, not opened yet."""
        context: Any = av.CodecContext.create(self.encoder, "w")
        context.options = dict(self.options)
        context.framerate = self.rate
        if self.threads:
            context.thread_count = self.threads
        if self.global_header:
            context.flags |= Flags.global_header
        self.configure(context)
        return context

    def open_encoder(self) -> Any:
        """Create and open an encoder."""
        context = self.new_encoder()
        with opening_encoder():
            context.open()
        return context

    def frame(self, picture: av.VideoFrame, colour: Colour, pts: int) -> av.VideoFrame:
        """Convert a frame to the encoder's pixel format, and set its time; transparent pixels
        become black if the format has no alpha."""
        if colour.alpha and not has_alpha(av.VideoFormat(self.pixel_format)):
            picture, colour = flatten(picture, colour), replace(colour, alpha=False)
        converted = convert_format(picture, colour, self.pixel_format, self.colour)
        converted.pts = pts
        converted.time_base = self.time_base
        converted.pict_type = 0  # the encoder chooses its own key frames
        return converted

    def configure(self, context: Any) -> None:
        """Set the properties of a new encoder."""
        context.width = self.width
        context.height = self.height
        context.pix_fmt = self.pixel_format
        context.time_base = self.time_base
        context.colorspace = 0 if is_rgb(av.VideoFormat(self.pixel_format)) else self.colour.matrix
        context.color_range = self.colour.range
        context.color_primaries = self.primaries
        context.color_trc = self.transfer
        if self.sample_aspect_ratio:
            context.sample_aspect_ratio = self.sample_aspect_ratio


def choose_encoding(
    picture: av.VideoFrame,
    colour: Colour,
    *,
    time_base: Fraction,
    rate: Fraction,
    sample_aspect_ratio: Fraction | None = None,
    options: EncodingOptions = DEFAULT_OPTIONS,
    suffix: str = "",
) -> Encoding:
    """Choose the encoding by options, with the pixel format of the source if the encoder supports
    it.

    Args:
        picture, colour: a frame of the source, and how its samples represent colours.
        time_base, rate, sample_aspect_ratio: as in `Encoding`.
        options: codec, crf, preset and encoder_options.
        suffix: of the file that the packets are for.

    Raises:
        VideoError: the codec does not exist, cannot encode such frames, or does not accept the
            options.
    """
    encoder = find_encoder(options.codec or default_codec(suffix))
    user_options = dict(options.encoder_options or {})
    check_quality(encoder.name, options.crf, options.preset)
    merged_options = merge_options(
        QUIET_OPTIONS.get(encoder.name, {}),
        quality_options(encoder.name, options.crf, options.preset),
        hdr_metadata_options(encoder.name, hdr_metadata_of(picture)),
        CAPTION_OPTIONS.get(encoder.name, {}),
        user_options,
        NO_B_FRAMES if suffix.lower() == ".avi" else {},
    )
    pixel_format = choose_pixel_format(encoder, picture, colour)
    encoding = Encoding(
        encoder=encoder.name,
        options=merged_options,
        pixel_format=pixel_format,
        width=picture.width,
        height=picture.height,
        time_base=time_base,
        rate=rate,
        colour=encoded_colour(colour, picture, pixel_format),
        primaries=picture.color_primaries,
        transfer=picture.color_trc,
        sample_aspect_ratio=sample_aspect_ratio,
        global_header=suffix.lower() not in WITHOUT_GLOBAL_HEADER,
    )
    check_encoder(encoding.new_encoder(), user_options, options.crf, options.preset)
    return encoding


def lossless_encoding(
    picture: av.VideoFrame, colour: Colour, *, time_base: Fraction, rate: Fraction, **_: object
) -> Encoding:
    """Return a lossless RGB encoding, for the segments of images and animations."""
    return Encoding(
        encoder=LOSSLESS,
        options={},
        pixel_format=LOSSLESS_RGB[colour.high_bit_depth, colour.alpha],
        width=picture.width,
        height=picture.height,
        time_base=time_base,
        rate=rate,
        colour=replace(colour, full_range=True),
        primaries=picture.color_primaries,
        transfer=picture.color_trc,
        sample_aspect_ratio=None,
    )


def encoded_colour(colour: Colour, picture: av.VideoFrame, pixel_format: str) -> Colour:
    """Return how encoded samples represent colours: as in the source, but with limited range if RGB
    is converted to luma and chroma, because all players support that."""
    converted = is_rgb(picture.format) and not is_rgb(av.VideoFormat(pixel_format))
    return replace(colour, full_range=colour.full_range and not converted)


def find_encoder(codec: str) -> av.Codec:
    """Return the encoder of a codec.

    Raises:
        VideoError: there is none; the text lists the names of codecs.
    """
    try:
        encoder = av.Codec(encoder_name(codec), "w")
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(
            f"there is no video codec {codec!r}: choose from {', '.join(ENCODERS)}"
        ) from error
    if encoder.type != "video":
        raise VideoError(f"{codec!r} is not a video codec: choose from {', '.join(ENCODERS)}")
    return encoder


def check_codec(container: Any, suffix: str, encoder: str) -> None:
    """Check that an open output container supports the codec of an encoder.

    Raises:
        VideoError: it does not; the text lists the supported codecs.
    """
    name = av.Codec(encoder, "w").canonical_name
    supported = supported_codecs(container)
    if name not in supported:
        known = ", ".join(codec for codec in ENCODERS if codec in supported)
        raise VideoError(
            f"{suffix} files cannot hold {name}, only {known}: choose one with --codec, or name an "
            f"OUT of {CODEC_SUFFIXES.get(name, '.mkv')}"
        )


def stream_tag(encoder: str) -> str | None:
    """Return the tag of the streams of an encoder, of any maker; None for FFmpeg's own choice."""
    return HEVC_TAG if av.Codec(encoder, "w").canonical_name == "hevc" else None


def check_options(options: EncodingOptions, suffix: str) -> None:
    """Check the options of an encoder without a frame to encode.

    Raises:
        VideoError: as `choose_encoding`, except for errors that depend on the frame.
    """
    encoder = find_encoder(options.codec or default_codec(suffix))
    check_quality(encoder.name, options.crf, options.preset)
    if options.encoder_options:
        check_option_names(encoder.name, options.encoder_options)


def choose_pixel_format(encoder: av.Codec, picture: av.VideoFrame, colour: Colour) -> str:
    """Return the pixel format of the source if the encoder supports it, otherwise the nearest one
    that all players support."""
    supported = [each.name for each in encoder.video_formats or []]
    own = picture.format.name.replace("yuvj", "yuv")
    own = f"{own[:-2]}le" if own.endswith("be") else own
    if encoder.name == LOSSLESS and is_rgb(picture.format):
        planar = own.startswith("gbr") and own in supported
        return own if planar else LOSSLESS_RGB[colour.high_bit_depth, colour.alpha]
    if encoder.name in ALPHA_OF:
        opaque = [name for name in supported if not has_alpha(av.VideoFormat(name))]
        supported = [*opaque, *ALPHA_OF[encoder.name]]
    candidates = list(ALPHA_FORMATS) if colour.alpha else []
    odd_size = picture.width % 2 or picture.height % 2
    if odd_size and encoder.name != LOSSLESS:  # subsampled chroma needs an even size
        candidates += FULL_CHROMA_FORMATS[colour.high_bit_depth]
    else:
        nearest = _nearest_format(picture.format, supported, colour.high_bit_depth)
        candidates = [own, *candidates, *nearest, *COMMON_FORMATS[colour.high_bit_depth]]
    usable = [name for name in candidates if name in supported and not is_rgb(av.VideoFormat(name))]
    if not usable:
        raise VideoError(
            f"{encoder.name} cannot encode {picture.width}x{picture.height} {own}: choose another "
            "--codec"
        )
    return usable[0]


def _nearest_format(
    source: av.VideoFormat, supported: list[str], high_bit_depth: bool
) -> list[str]:
    """Return the opaque format that keeps most of a source with 4:2:2 or 4:4:4 chroma, by FFmpeg's
    measure, in a list that is empty for other sources."""
    chroma = source.chroma_width(64), source.chroma_height(64)
    if is_rgb(source) or len(source.components) < 3 or chroma not in ((64, 64), (32, 64)):
        return []
    formats = [av.VideoFormat(name) for name in supported if not name.startswith("yuvj")]
    opaque = [each for each in formats if not is_rgb(each) and not has_alpha(each)]
    same_depth = [each for each in opaque if (bit_depth(each) > 8) == high_bit_depth]
    best, _ = find_best_pix_fmt_of_list(same_depth or opaque, source)
    return [best.name] if best else []


def with_fixed_threads(encoding: Encoding) -> Encoding:
    """Return an encoding with the number of threads that its encoder chooses on this machine: x264
    and FFV1 encode the same frames differently with another number."""
    context = encoding.open_encoder()
    threads = int(context.thread_count)
    if not threads and encoding.encoder == "libx264":
        blank = av.VideoFrame(encoding.width, encoding.height, encoding.pixel_format)
        packets = [*context.encode(blank), *context.encode(None)]
        stated = THREADS_OF_X264.search(b"".join(map(bytes, packets)))
        threads = int(stated[1]) if stated else 0
    return replace(encoding, threads=threads)
