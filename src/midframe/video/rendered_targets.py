"""Results that are written from lossless segments: GIF and APNG animations, and image sequences."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.folders import visible
from midframe.media.colour.conversion import to_rgb
from midframe.media.pictures.decoding import HDR_TRANSFERS
from midframe.media.pictures.images import Array, lost_as, writes
from midframe.media.reading.icc_profile import lost_profile, profile_of
from midframe.media.reading.image_sequence import (
    DEFAULT_NAME,
    is_pattern,
    number_of,
    numbered,
    numbered_files,
    picture_files,
    write_pictures,
)
from midframe.media.reading.opacity import lost_alpha
from midframe.media.writing.animation import FASTEST_GIF, plays_of, write_animation
from midframe.media.writing.mark import append_mark
from midframe.options import EncodingOptions
from midframe.outputs import check_output_file, check_output_folder, same_place
from midframe.video.report import check_pictures
from midframe.video.retimer import Retimer
from midframe.video.segment_target import SegmentTarget
from midframe.video.target import Job
from midframe.video.target_checks import check_own
from midframe.video.timeline import ConstantRate


class RenderedTarget(SegmentTarget):
    """A target that is written from the finished frames once all of them exist."""

    holds_aspect = False

    def _rehearse(self) -> None:
        others = tuple(f"{each.type} stream {each.index}" for each in self.job.reader.others)
        dropped = [f"{name} ({self.appears.name} holds images only)" for name in others]
        self.job.report.dropped = (*dropped, *self._lost())

    def _lost(self) -> Iterable[str]:
        """What of the pictures themselves the result cannot hold."""
        return lost_profile(self.job.reader)

    def _frames(self, end: int) -> Iterator[av.VideoFrame]:
        """All finished frames, lossless RGB."""
        assert self.segments, "begun"
        decoder: Any = av.CodecContext.create(self.encoding.encoder, "r")
        decoder.extradata, decoder.width, decoder.height = (
            self.segments.extradata(), self.encoding.width, self.encoding.height
        )  # fmt: skip
        for packet in chain(self.segments.packets(end), [None]):
            for frame in decoder.decode(packet):
                frame.time_base = self.encoding.time_base
                yield frame


class AnimationTarget(RenderedTarget):
    """A GIF or an APNG."""

    constant = False

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        super().__init__(path, options)
        self.min_step = Fraction(1, FASTEST_GIF) if self._gif else Fraction(0)

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        check_output_file(
            self.path, inputs=picture_files(source) or [source], overwrite=overwrite or resume
        )
        if not resume:
            check_own(self.path)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        return self._is_marked(settings, overwrite=overwrite)

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        rate = job.timeline.rate
        if self._gif and rate > FASTEST_GIF and isinstance(job.timeline, ConstantRate):
            raise VideoError(
                f"viewers play GIFs of {float(rate):g} frames a second too slowly: give --fps 50 "
                "or less"
            )
        return super().begin(job, resume=resume, overwrite=overwrite)

    def finish(self, retimer: Retimer) -> None:
        assert self.segments, "begun"
        unfinished = self.segments.folder / self.path.name
        time_base, end = self.encoding.time_base, retimer.end_pts
        last = max(packet.pts for packet in self.segments.packets(end))
        try:
            write_animation(
                unfinished, lambda: self._frames(end), time_base, self.encoding.rate,
                plays_of(self.job.reader.path), gif=self._gif, last=(end - last) * time_base,
            )  # fmt: skip
            append_mark(unfinished, self._mark(self.job.settings))
            unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.path} cannot be written ({error}): choose another place for OUT"
            ) from error
        self.segments.remove()
        self._prove(retimer)

    def _lost(self) -> Iterable[str]:
        high_bit_depth = (
            ["bits beyond 8 of each sample (GIF)"]
            if self._gif and self.job.colour.high_bit_depth
            else []
        )
        soft = (
            self._gif and self.job.colour.alpha and self.job.reader.container.format.name != "gif"
        )
        partial = (
            ["partial transparency (GIF pixels are opaque or transparent)"]
            if soft and lost_alpha(self.job.reader)
            else []
        )
        return [*super()._lost(), *high_bit_depth, *partial]

    @property
    def _gif(self) -> bool:
        return self.path.suffix.lower() == ".gif"


class ImageSequenceTarget(RenderedTarget):
    """Pictures in a folder, with names by a pattern."""

    @property
    def appears(self) -> Path:
        return self.path.parent if is_pattern(self.path) else self.path

    @property
    def pattern(self) -> str:
        return self.path.name if is_pattern(self.path) else DEFAULT_NAME

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        if not writes(Path(self.pattern).suffix):
            raise VideoError(
                f"{self.path}: images cannot be written with this suffix: use {DEFAULT_NAME}"
            )
        if not self.appears.parent.is_dir():
            raise VideoError(
                f"{self.appears.parent} is not a folder: create it first, or name another OUT"
            )
        check_output_folder(self.appears, inputs=() if is_pattern(self.path) else [source])
        for each in picture_files(source) or [source]:
            if number_of(self.pattern, each.name) is not None and same_place(
                each.parent, self.appears
            ):
                raise VideoError(
                    f"{each} is an input that {self.path} would overwrite: name another OUT"
                )
        before = numbered_files(self.appears, self.pattern)
        if before and not overwrite:
            raise VideoError(f"{before[min(before)]} exists: name another OUT, or give --overwrite")
        others = (
            set(visible(self.appears, self.appears.iterdir())) if self.appears.is_dir() else set()
        )
        if not is_pattern(self.path) and (others := others - set(before.values())):
            raise VideoError(
                f"{self.appears} holds other files ({min(others).name}): name a new folder, or a "
                "pattern such as "
                f"{self.appears}/frame-%06d.png"
            )

    def finish(self, retimer: Retimer) -> None:
        assert self.segments, "begun"
        folder = self.segments.folder / "pictures"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            images: Iterator[Array] = (
                to_rgb(frame, self.encoding.colour) for frame in self._frames(retimer.end_pts)
            )
            count = write_pictures(folder, self.pattern, images, profile_of(self.job.reader))
            self.appears.mkdir(exist_ok=True)
            names = [numbered(self.pattern, number) for number in range(1, count + 1)]
            for name in names:
                (folder / name).replace(self.appears / name)
            for number, path in numbered_files(self.appears, self.pattern).items():
                if not 1 <= number <= count:  # of an earlier, longer result
                    path.unlink()
        except OSError as error:
            raise VideoError(
                f"{self.appears} cannot be written to ({error}): choose another place for OUT"
            ) from error
        self.segments.remove()
        check_pictures(
            [self.appears / name for name in names], self.job.report, self.job.timeline.rate
        )

    def _lost(self) -> Iterable[str]:
        suffix, colour = Path(self.pattern).suffix, self.job.colour
        lost = lost_as(
            suffix,
            high_bit_depth=colour.high_bit_depth,
            alpha=False,
            icc_profile=profile_of(self.job.reader),
        )
        if colour.alpha and lost_as(suffix, high_bit_depth=False, alpha=True, icc_profile=None):
            lost += filter(None, [lost_alpha(self.job.reader)])
        if self.job.picture.color_trc in HDR_TRANSFERS:
            lost.append("HDR transfer function (the images do not store it)")
        return lost
