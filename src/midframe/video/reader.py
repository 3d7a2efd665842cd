"""Reading a video: its frames with exact times, and the packets of its other streams as they are."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.codec.context import ThreadType

from midframe.decoding import PASSING
from midframe.errors import SourceError, VideoError
from midframe.options import check_time_range
from midframe.video.colour import Colour, colour_of
from midframe.video.damage import Damage
from midframe.video.frame_rate import SourceRate, measure_rate
from midframe.video.geometry import Layout, geometry_of
from midframe.video.interlacing import Deinterlacer
from midframe.video.scenes import CutDetector
from midframe.video.sights import Sight, thumbnail
from midframe.video.survey import Survey, take_survey, with_even_times

log = logging.getLogger(__name__)

FIRST_PACKETS = 300
"""Packets that are read before seeking to a part: they state when the film begins."""
MISSING_SECONDS = 0.5
"""A picture that ends more than this before the file says is taken for a file cut short."""
FASTEST = 10_000
"""Frames a second that no film has; times and rates that state more are wrong."""
DEFAULT_RATE = Fraction(25)
"""Of files that state neither times nor a rate."""
SEEK_SECONDS = 2
"""A part is looked for from this much before its start, for containers that find places roughly."""
SURVEY_SECONDS = 5
"""A survey goes on for so long after the end of a part, since packets are not in the order of showing."""
ORDERED = ("avi", "ogg")
"""Containers whose empty packets, and packets without times, must meet a decoder that is not behind by some frames."""
ONE_A_PACKET = frozenset(("h264", "hevc", "av1", "prores", "dnxhd", "mjpeg", "ffv1"))
"""Codecs whose packets each hold a picture that is shown."""
MAX_MISSING = 0.1
"""Fraction of the packets that may be without a picture by damage."""
DECODING_TIMES = ("asf", "mxf")
"""Containers that have no place for times of showing, or not for all codecs."""
MAX_READ_ERRORS = 20
"""A file that cannot be read on after so many attempts ends there."""
MAX_EQUAL_STAMPS = 64
"""More frames than this with one time stamp have no time stamps at all."""
OLD_ENCODING = "cp1252"
"""Of titles that are no UTF-8."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Of streams whose alpha FFmpeg's own decoders leave out."""

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+[^/]")
"""How the address of something elsewhere begins."""


@dataclass(frozen=True)
class Part:
    """The part of a video to show, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        check_time_range(self.start, self.end)


WHOLE = Part()
"""A video from its first frame to its last."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int | Fraction
    """When it is shown, in the time base of its stream."""
    begins_scene: bool
    duration: int | Fraction = 0
    """For how long, in the same time base; 0 if the file does not say."""


class VideoReader:
    """An open video. Close it, or use it in a `with` block.

    Args:
        path: of the video.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; None looks for none.
        part: what is read of its picture.
        deinterlace: make whole frames of the two fields that interlaced ones hold.
        strict: refuse a source that is damaged, instead of bridging the damage.
        holds_matrix, holds_aspect: the result carries a display matrix and a sample aspect ratio, so frames need not be
            rotated or scaled.
        survey: of the same file, if it was taken before.

    Raises:
        VideoError: the file is missing, is no video, or has no picture.
    """

    def __init__(
        self,
        path: Path,
        cut_threshold: float | None = None,
        part: Part = WHOLE,
        *,
        deinterlace: bool = False,
        strict: bool = False,
        holds_matrix: bool = True,
        holds_aspect: bool = True,
        survey: Survey | None = None,
    ) -> None:
        self.path = path
        self.cut_threshold, self.part, self.deinterlace = cut_threshold, part, deinterlace
        self.damage = Damage(path, strict=strict)
        self.warnings: list[str] = []
        """What is unusual in the source without being damage."""
        self._holds = {"holds_matrix": holds_matrix, "holds_aspect": holds_aspect}
        self.frames_read = 0
        self.sights: list[Sight] = []
        """What was read of the picture, for the proof of a result."""
        self.container = self._open()
        self.stream = _video_stream(self.container, path)
        self.time_base = self._time_base()
        self.description = _description(self.container, self.stream.index)
        """Of the picture's stream, as FFmpeg prints it."""
        self._counted = self.container.format.name == "avi"
        """AVI counts frames: only the order of decoding says when they are shown."""
        self.stream.thread_type = "SLICE" if self.container.format.name in ORDERED else "AUTO"
        self.survey = self._survey() if survey is None else survey
        if self._stamped_in_order_of_decoding():
            self._counted, self.stream.thread_type = True, "SLICE"
            self.survey = self._survey() if survey is None else survey
        for jump in self.survey.jumps:
            self.damage.add(jump, "the timestamps restart (joined or interrupted recording)")
        if self.survey.mostly_corrupt:
            self.damage.add(None, "most video packets are flagged as damaged; all decoded frames are used")
        stated = [rate for rate in (self.stream.average_rate, self.stream.guessed_rate) if rate and rate <= FASTEST]
        self._untimed = self._states_no_times()
        if self._untimed:
            self.survey = with_even_times(self.survey, next(iter(stated), DEFAULT_RATE))
            self.damage.add(None, "the frames have no usable timestamps and are shown at a constant rate")
        times = self.survey.times
        self.start = times[0] if times else Fraction(0)
        """When the first frame is shown, in seconds."""
        self.source_rate = self._measured(stated)
        self.rate = self.source_rate.rate
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        """Of a frame that does not say, in the time base."""
        self.layout: Layout | None = None
        self.others: list[Any] = [stream for stream in self.container.streams if stream is not self.stream]
        """All streams but the picture."""

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @cached_property
    def expected_frames(self) -> float | None:
        """How many frames the part has, by the packets of the file."""
        return float(len(self._times_in_part())) if self.survey.times else None

    @property
    def end(self) -> Fraction | None:
        """When the last frame of the whole video is no longer shown, in seconds; None if that is not known."""
        return self.survey.end if self.part.end is None else None

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Decode one frame to learn of the picture, in a container of its own: not every file can be wound back."""
        try:
            with self._open() as container:
                picture = next(self._decoded(container, report=False), None)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        if picture is None:
            raise SourceError(
                f"{self.path} has no frame that can be decoded: check in a player that the file is complete"
            )
        return self._arranged(picture), colour_of(picture)

    def read(self) -> Iterator[Frame]:
        """Yield every frame of the part, in the order of showing.

        Raises:
            VideoError: the file cannot be read, or is damaged and `strict` was asked for.
        """
        begin, until = self._edges()
        cuts = CutDetector(self.stream, self.cut_threshold) if self.cut_threshold else None
        end = None
        try:
            for picture, pts, duration in self._pictures(begin):
                end = pts + (duration or self.frame_duration)
                time = Fraction(pts * self.time_base)
                if until is not None and time >= until:
                    break
                begins_scene = bool(cuts and cuts.begins_scene(picture))
                if time >= begin:
                    self.frames_read += 1
                    arranged = self._arranged(picture)
                    self.sights.append(Sight(time, thumbnail(arranged)))
                    yield Frame(arranged, pts, begins_scene, duration)
            else:
                self._check_end(end)
                self._check_all_decoded()
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        if not self.frames_read:
            raise SourceError(f"{self.path} has no frame after {self.part.start} s: choose an earlier --start")

    def log_damage(self) -> None:
        """Log what is damaged or unusual in what was read, for callers that write no report."""
        for text in (*self.warnings, *(f"damaged: {place}" for place in self.damage.places)):
            log.warning("%s: %s", self.path, text)

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """Yield the packets of other streams with times of the corrected clock, otherwise as they are in the file."""
        container = streams[0].container if streams else self.container
        try:
            yield from (packet for packet in self._demuxed(container, streams) if packet.size)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error

    def _open(self) -> av.container.InputContainer:
        return open_video(self.path)

    def _time_base(self) -> Fraction:
        return self.stream.time_base or Fraction(1, 90000)

    def _edges(self) -> tuple[Fraction, Fraction | None]:
        """Where the part begins and ends, in seconds."""
        begin = self.start + Fraction(str(self.part.start))
        return begin, None if self.part.end is None else self.start + Fraction(str(self.part.end))

    def _times_in_part(self) -> list[Fraction]:
        """When the frames of the part are shown, by the packets of the file."""
        begin, until = self._edges()
        return [time for time in self.survey.times if begin <= time and (until is None or time < until)]

    def _measured(self, stated: Sequence[Fraction]) -> SourceRate:
        within = self._times_in_part()
        return measure_rate(within if len(within) > 1 else self.survey.times, self.time_base, stated)

    def _survey(self) -> Survey:
        """Look at the packets of the picture and the sound; of a part, only at those near it, if that can be."""
        try:
            with self._open() as container:
                picture = container.streams[self.stream.index]
                streams = [picture, *container.streams.audio]
                jumps = bool(container.format.flags & av.format.Flags.ts_discont.value)
                packets = self._demuxed_raw(container, streams)
                if self.part != WHOLE and not jumps:
                    packets = self._near_part(container, picture, packets)
                return take_survey(packets, picture, counted=self._counted, clock_jumps=jumps)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error

    def _stamped_in_order_of_decoding(self) -> bool:
        """Whether packets state when they are decoded, and not when they are shown, though that differs."""
        if self.container.format.name not in DECODING_TIMES or not self.survey.rising:
            return False
        return bool(self.stream.codec_context.has_b_frames) or self.survey.delayed

    def _states_no_times(self) -> bool:
        """Whether all frames state nearly the same time."""
        times = self.survey.times
        return len(times) > 1 and (times[-1] - times[0]) * FASTEST < len(times) - 1

    def _near_part(self, container: Any, picture: Any, packets: Iterable[Any]) -> Iterator[Any]:
        start, count, sought = None, 0, self.part.start <= SURVEY_SECONDS or self._counted
        while True:
            for packet in packets:
                yield packet
                count += 1
                if packet.stream is not picture or packet.dts is None:
                    continue
                time = float(packet.dts * packet.time_base)
                start = time if start is None else start
                if self.part.end is not None and time > start + self.part.end + SURVEY_SECONDS:
                    return
                if not sought and count > FIRST_PACKETS and time < start + self.part.start - SURVEY_SECONDS:
                    break
            else:
                return
            sought = True
            with suppress(av.FFmpegError):
                target = start + self.part.start - SURVEY_SECONDS
                container.seek(round(target / picture.time_base), stream=picture)
                packets = self._demuxed_raw(container, [picture, *container.streams.audio])

    def _pictures(self, begin: Fraction) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Every picture from a key frame before a time on, with its pts and duration, deinterlaced if asked for."""
        spread = self._spread(self._decoded(self.container, begin))
        if not self.deinterlace:
            yield from spread
            return
        fields = Deinterlacer(self.stream)
        for picture, pts, duration in spread:
            yield from fields.feed(picture, pts, duration)
        yield from fields.rest()

    def _spread(
        self, pictures: Iterable[av.VideoFrame]
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Pictures with rising times: those that share a time, or go back, are spread up to the next later one."""
        group: list[av.VideoFrame] = []
        time = 0
        for picture in pictures:
            pts = self._pts(picture)
            if pts is None:
                pts = self._next(group[-1], time) if group else round(self.start / self.time_base)
            if group and pts <= time and len(group) < MAX_EQUAL_STAMPS:
                group.append(picture)
                continue
            if group:
                pts = max(pts, time + 1)
                yield from _evenly(group, time, pts)
            group, time = [picture], pts
        if group:
            yield from _evenly(group, time, time + (group[0].duration or self.frame_duration))

    def _next(self, picture: av.VideoFrame, time: int) -> int:
        """When a picture without a time is shown that follows on one that was shown at a time."""
        return time + ((not self._untimed and picture.duration) or self.frame_duration)

    def _decoded(
        self, container: Any, begin: Fraction | None = None, *, report: bool = True
    ) -> Iterator[av.VideoFrame]:
        """Decode from a key frame before a time; what cannot be decoded is left out and reported.

        A decoder that works on several frames at a time loses intact ones beside a broken one, so decoding then begins
        anew with one that does not.
        """
        stream = container.streams[self.stream.index]
        if begin is not None:
            self._seek(container, stream, begin)
        decoder, corrupt, count = _alpha_decoder(stream), set[int](), 0
        previous: av.VideoFrame | None = None
        for packet in self._demuxed(container, [stream]):
            if packet.is_corrupt and self.survey.mostly_corrupt:
                packet.is_corrupt = False  # the decoder marks those that it finds damaged
            if packet.is_corrupt and packet.pts is not None:
                corrupt.add(packet.pts)
            if not packet.size and packet.pts is not None:
                if previous is not None and container.format.name == "ogg":  # an empty packet repeats the frame
                    count += 1
                    yield _repeated(previous, packet)
                continue
            try:
                pictures = decoder.decode(packet)
            except av.FFmpegError as error:
                if error.errno in PASSING:
                    raise
                if decoder.thread_type & ThreadType.FRAME and self._can_reopen:
                    yield from self._decoded_again(begin, count, report=report)
                    return
                if report:
                    self.damage.add(_time_of(packet), "a frame cannot be decoded")
                continue
            for picture in pictures:
                if picture.is_corrupt or picture.pts in corrupt:
                    if report:
                        self.damage.add(_time_of(picture, self.time_base), "a frame is damaged")
                    continue
                count, previous = count + 1, picture
                yield picture

    _can_reopen = True
    """The source can be read again from its beginning."""

    def _decoded_again(self, begin: Fraction | None, count: int, *, report: bool) -> Iterator[av.VideoFrame]:
        """Decode with one frame at a time, without the first pictures, which were given out already."""
        with self._open() as container:
            container.streams[self.stream.index].thread_type = "SLICE"
            yield from islice(self._decoded(container, begin, report=report), count, None)

    def _seek(self, container: Any, stream: Any, begin: Fraction) -> None:
        """Go to a key frame before a time, if the file can be sought in; otherwise it is decoded from its start."""
        if self.part.start <= SEEK_SECONDS or self._counted or self.survey.jumps or not self.survey.timed:
            return
        target = round((begin - SEEK_SECONDS - self.survey.shift) / self.time_base)
        with suppress(av.FFmpegError):
            container.seek(target, stream=stream)
            first = next((packet.pts for packet in container.demux(stream) if packet.pts is not None), None)
            late = first is None or first * self.time_base + self.survey.shift > begin
            container.seek(container.start_time or 0) if late else container.seek(target, stream=stream)

    def _demuxed(self, container: Any, streams: Sequence[Any]) -> Iterator[Any]:
        """Packets with times of the corrected clock."""
        return self.survey.corrected(self._demuxed_raw(container, streams))

    def _demuxed_raw(self, container: Any, streams: Sequence[Any]) -> Iterator[Any]:
        """Packets; where the file cannot be read, it is read on behind that place."""
        errors = 0
        while True:
            try:
                for packet in container.demux(streams):
                    errors = 0
                    yield packet
                return
            except IndexError:  # PyAV's at the end, where streams have appeared in the middle of the file
                return
            except av.FFmpegError as error:
                errors += 1
                if error.errno in PASSING or errors > MAX_READ_ERRORS:
                    raise

    def _pts(self, picture: av.VideoFrame) -> int | None:
        """The frame's time stamp, if it has one."""
        if self._untimed:
            return None
        if not self._counted:
            return None if picture.pts is None else int(picture.pts)
        if picture.dts is None:
            return None
        self._first_dts = int(picture.dts) if self._first_dts is None else self._first_dts
        return int(picture.dts) - self._first_dts + round(self.start / self.time_base)

    _first_dts: int | None = None

    def _arranged(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture cropped, rotated and scaled as far as the result has no tags for that."""
        if self.layout is None:
            geometry = geometry_of(picture, self.description, self.stream.sample_aspect_ratio)
            self.layout = Layout(geometry, **self._holds)
        arranged = self.layout.applied(picture)
        form = {"width": arranged.width, "height": arranged.height, "format": arranged.format.name}
        self._form = self._form or form
        size, first = (f"{each['width']}x{each['height']}" for each in (form, self._form))
        before, self._size = self._size, size
        if form == self._form:
            return arranged
        if size not in (first, before):
            self.damage.add(_time_of(picture, self.time_base), f"the frame size changes to {size}, scaled to {first}")
        scaled = arranged.reformat(**self._form)
        scaled.pts, scaled.time_base, scaled.duration = arranged.pts, arranged.time_base, arranged.duration
        return scaled

    _form: dict[str, Any] | None = None
    """Size and pixel format of the first picture, which all others get."""
    _size: str | None = None
    """Width and height of the picture before, so that a change is reported once."""

    def _check_all_decoded(self) -> None:
        """Note pictures that a decoder left out without an error, where every packet is a picture."""
        codec = self.stream.codec_context.codec.canonical_name
        if self.part != WHOLE or codec not in ONE_A_PACKET or self.deinterlace or not self.survey.timed:
            return
        shown = {round(sight.time / self.time_base) for sight in self.sights}
        missing = [time for time in self.survey.times if round(time / self.time_base) not in shown]
        if len(missing) <= MAX_MISSING * len(self.survey.times):  # more are fields, or times that a decoder mends
            known, step = list(self.damage.times), 1 / self.rate
            for time in missing:
                if all(abs(time - each) > step for each in known):
                    self.damage.add(time, "a frame cannot be decoded")

    def _check_end(self, end: int | Fraction | None) -> None:
        if end is None:
            raise SourceError(
                f"{self.path} has no frame that can be decoded: check in a player that the file is complete"
            )
        stated = _stated_end(self.stream)
        if stated is None or self.survey.jumps:  # the file states it by a clock that begins anew
            return
        stated += self.survey.shift
        missing = float(stated - max(end * self.time_base, self.survey.end or Fraction(0)))
        if missing > max(MISSING_SECONDS, float(2 / self.rate)):
            self.damage.add(
                end * self.time_base, f"the video stream ends {missing:.1f} s before the end that the file states"
            )

    def _unreadable(self, error: av.FFmpegError) -> VideoError:
        if error.errno in PASSING:
            return VideoError(f"{self.path} cannot be read now ({error.strerror}): check that its disk is connected")
        return SourceError(f"{self.path} cannot be decoded ({error.strerror}): the file may be incomplete")


def _evenly(
    group: Sequence[av.VideoFrame], begin: int, end: int
) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
    """Pictures that share a time, evenly from it up to the next."""
    if len(group) == 1:
        yield group[0], begin, group[0].duration
        return
    step = Fraction(end - begin, len(group))
    for place, picture in enumerate(group):
        yield picture, begin + place * step, step


def _repeated(picture: av.VideoFrame, packet: Any) -> av.VideoFrame:
    copy = picture.reformat(format=picture.format.name, width=picture.width, height=picture.height)
    copy.pts, copy.time_base, copy.duration = packet.pts, picture.time_base, packet.duration or 0
    return copy


def _time_of(item: Any, time_base: Fraction | None = None) -> Fraction | None:
    """When a packet or a picture is shown, in seconds, if it says so."""
    moment = item.pts if item.pts is not None else item.dts
    base = time_base or item.time_base
    return None if moment is None or base is None else Fraction(moment * base)


def _description(container: Any, index: int) -> str:
    """What FFmpeg prints of a stream, with the side data of the container."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # FFmpeg prints nothing below
    try:
        text = container.dumps_format() or ""
    finally:
        av.logging.set_level(level)
    blocks = re.split(r"\n\s*Stream #0:", text)
    return next((block for block in blocks[1:] if re.match(rf"{index}\D", block)), "")


def _alpha_decoder(stream: Any) -> Any:
    """What decodes a stream: its own decoder, or one that sees the alpha which that leaves out."""
    context = stream.codec_context
    name = ALPHA_DECODERS.get(context.codec.canonical_name)
    if not name or stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return context
    decoder: Any = av.CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    return decoder


def open_video(path: Path, address: str | None = None) -> av.container.InputContainer:
    """Open a file of any container that FFmpeg reads, or what it knows under an address of its own."""
    try:
        options = {"pattern_type": "none"}
        try:
            return av.open(address or file_url(path), options=options)
        except UnicodeDecodeError:  # titles of old files are in the code page of their maker
            return av.open(
                address or file_url(path), options=options, metadata_encoding=OLD_ENCODING, metadata_errors="replace"
            )
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: name a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"{path} cannot be opened as a video ({reason}): check that it is one, and complete"
        ) from error


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it, which otherwise reads a name with a colon as an address."""
    return f"file:{path}"


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    pictures = [stream for stream in container.streams.video if not is_cover(stream)]
    if not pictures:
        found = f"only {types}" if (types := _stream_types(container)) else "no streams at all"
        container.close()
        raise SourceError(f"{path} has no video stream ({found}): name a video")
    if pictures[0].codec_context is None:
        container.close()
        raise SourceError(f"{path} has a video stream of an unknown codec: the file may be incomplete")
    return pictures[0]


def _stated_end(stream: av.VideoStream) -> Fraction | None:
    """When the file says that its picture ends, in seconds of its own clock; None if it does not say."""
    start = (stream.start_time or 0) * (stream.time_base or 0)
    if stream.duration:
        return Fraction(start + stream.duration * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))  # as Matroska has it
    return Fraction(match[1]) * 3600 + Fraction(match[2]) * 60 + Fraction(match[3]) if match else None


def is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that stands for the film, as a poster does."""
    return stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)


def _stream_types(container: av.container.InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams}))
