"""Writing a video: frames encoded with exact times, packets of other streams as they came."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from midframe.errors import VideoError
from midframe.video.colour import Colour, in_format
from midframe.video.reader import VideoReader

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "ffv1": "ffv1"}
"""Codecs by the names people use. FFmpeg's own names of encoders are taken too."""
DEFAULT_CODEC = "h264"
DEFAULT_CRF = 18
CONTAINERS = (".mp4", ".mkv", ".mov", ".webm")


class VideoWriter:
    """A video being written beside its final name, which it takes at the end of a `with` block that does not fail.

    Args:
        path: the final name; its ending chooses the container.
        reader: the source, whose other streams, metadata, rotation and pixel shape are carried over.
        picture: a frame of the source.
        colour: how its samples stand for colours.
        time_base: of the frames to come.
        rate: their average rate.
        codec: a name in `ENCODERS`, or an encoder of FFmpeg.
        crf: constant quality; smaller is better and larger.

    Raises:
        VideoError: no such codec or container, or the place cannot be written to.
    """

    def __init__(
        self,
        path: Path,
        reader: VideoReader,
        picture: av.VideoFrame,
        colour: Colour,
        *,
        time_base: Fraction,
        rate: Fraction,
        codec: str = DEFAULT_CODEC,
        crf: int = DEFAULT_CRF,
    ) -> None:
        self.path = path
        self.unfinished = path.with_name(f".{path.stem}.part{path.suffix}")
        self.colour = colour
        encoder = find_encoder(codec)
        self.container = self._open()
        try:
            self._check_fits(encoder, reader)
            self.stream = self.container.add_stream(encoder.name, rate, options=_options(encoder.name, crf))
            self._describe(encoder, picture, time_base)
            self._copied = {s.index: self.container.add_stream_from_template(s, opaque=True) for s in reader.kept}
            pairs = [(reader.stream, self.stream), *((old, self._copied[old.index]) for old in reader.kept)]
            self.container.metadata.update(reader.container.metadata)
            _carry_over(pairs, picture)
            self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            raise VideoError(
                f"{path} cannot be written with {codec} ({error.strerror}): choose another --codec"
            ) from error
        except BaseException:
            self.abandon()
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return self.abandon()
        try:
            self.finish()
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, picture: av.VideoFrame, pts: int) -> None:
        """Encode a picture to be shown at a time in the writer's time base."""
        converted = in_format(picture, self.colour, self.pixel_format)
        converted.pts, converted.time_base = pts, self.time_base
        converted.pict_type = 0  # the encoder chooses its own key frames
        self._mux(self.stream.encode(converted))

    def write_packet(self, packet: av.Packet) -> None:
        """Pass on a packet of a kept stream unchanged."""
        packet.stream = self._copied[packet.stream.index]
        self._mux([packet])

    def finish(self) -> None:
        """Encode what is left and give the file its name."""
        self._mux(self.stream.encode(None))
        try:
            self.container.close()
            self.unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(av.FFmpegError, OSError):  # the file is deleted whatever state it is in
            self.container.close()
        self.unfinished.unlink(missing_ok=True)

    def _open(self) -> av.container.OutputContainer:
        if self.path.suffix.lower() not in CONTAINERS:
            raise VideoError(f"{self.path}: choose a name that ends in one of {' '.join(CONTAINERS)}")
        options = {"movflags": "+faststart"} if self.path.suffix.lower() in (".mp4", ".mov") else {}
        try:
            self.unfinished.touch()
            return av.open(str(self.unfinished), "w", container_options=options)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _check_fits(self, encoder: av.Codec, reader: VideoReader) -> None:
        supported = self.container.supported_codecs
        names = [encoder.canonical_name, *(stream.codec_context.codec.canonical_name for stream in reader.kept)]
        for name in names:
            if name not in supported:
                raise VideoError(f"{self.path.suffix} files cannot hold {name}: give an OUT that ends in .mkv")

    def _describe(self, encoder: av.Codec, picture: av.VideoFrame, time_base: Fraction) -> None:
        stream = self.stream
        self.pixel_format = choose_pixel_format(encoder, picture, self.colour.deep)
        self.time_base = time_base
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, self.pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.colorspace = self.colour.matrix
        stream.codec_context.color_range = self.colour.range
        stream.codec_context.color_primaries = picture.color_primaries
        stream.codec_context.color_trc = picture.color_trc
        if encoder.name == "libx265":
            stream.codec_tag = "hvc1"  # what players of Apple want in MP4

    def _mux(self, packets: list[av.Packet]) -> None:
        try:
            self.container.mux(packets)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> VideoError:
        reason = getattr(error, "strerror", None) or error
        return VideoError(f"{self.path} cannot be written ({reason}): choose another place for OUT")


def find_encoder(codec: str) -> av.Codec:
    """The encoder of a codec's name; a VideoError lists the names if there is none."""
    try:
        encoder = av.Codec(ENCODERS.get(codec, codec), "w")
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"there is no video codec {codec!r}: choose from {', '.join(ENCODERS)}") from error
    if encoder.type != "video":
        raise VideoError(f"{codec!r} is no video codec: choose from {', '.join(ENCODERS)}")
    return encoder


def choose_pixel_format(encoder: av.Codec, picture: av.VideoFrame, deep: bool) -> str:
    """The source's own pixel format where the encoder takes it, or the nearest that plays everywhere."""
    offered = [each.name for each in encoder.video_formats or []]
    own = picture.format.name.replace("yuvj", "yuv")
    odd = picture.width % 2 or picture.height % 2
    wanted = ["yuv444p10le" if deep else "yuv444p"] if odd else [own, "yuv420p10le" if deep else "yuv420p", "yuv420p"]
    usable = [name for name in wanted if name in offered and not av.VideoFormat(name).is_rgb]
    if not usable:
        raise VideoError(f"{encoder.name} cannot encode {picture.width}x{picture.height} {own}: choose another --codec")
    return usable[0]


def _options(encoder: str, crf: int) -> dict[str, str]:
    quality = {"libvpx-vp9": {"crf": str(crf), "b": "0"}, "ffv1": {}}
    return quality.get(encoder, {"crf": str(crf)})


def _carry_over(pairs: list[tuple[av.stream.Stream, av.stream.Stream]], picture: av.VideoFrame) -> None:
    """Carry language, title and disposition from each source stream to its result, and the picture's shape and turn."""
    for old, new in pairs:
        new.metadata.update({key: value for key, value in old.metadata.items() if key in ("language", "title")})
        new.disposition = old.disposition
    source, result = pairs[0]
    if source.sample_aspect_ratio:
        result.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
    if picture.rotation and hasattr(result, "set_display_rotation"):
        result.set_display_rotation(picture.rotation)
