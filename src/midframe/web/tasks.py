"""The work of the page's jobs: converting a video, interpolating between two pictures, and
predicting the kernels of a pixel."""

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from midframe.errors import OptionError, SourceError
from midframe.evaluation.kernels import (
    Floats,
    PixelKernels,
    draw_flow_colours,
    kernel_motion,
    pixel_kernels,
)
from midframe.interpolator import Interpolator
from midframe.media.containers import CODEC_SUFFIXES
from midframe.media.pictures.images import Array, read_image, write_image
from midframe.media.pictures.pair import read_pair
from midframe.options import VideoOptions
from midframe.video.pipeline import convert_video
from midframe.video.report import VideoReport
from midframe.web.jobs import Job
from midframe.web.limits import UNPLAYABLE
from midframe.web.networks import Networks, WatchedInterpolator
from midframe.web.options import FIRST, SECOND, VIDEO
from midframe.web.storage import Session, StoredFile
from midframe.web.texts import RESULT

MAX_COUNT = 31
"""Maximum number of frames between two pictures."""
MAX_VISUALIZED_PIXELS = 1280 * 720
"""Larger pictures are downscaled before their kernels are predicted, to limit memory."""
PICTURES_TAB = "pictures"
"""The tab with the frames between two pictures."""
NEEDS_VIDEO = "there is no video yet: choose one, and wait until it is uploaded"
REPLACED = "the video was replaced before the work began: start again"
NEEDS_PICTURES = "two pictures are needed: choose both, and wait until they are uploaded"
SPEED_SIZE = (640, 360)
"""Width and height of the frames that the tab Models measures speeds with."""


@dataclass(frozen=True)
class VideoResult:
    """A finished video."""

    name: str
    """Random name of its file."""
    suffix: str
    report: VideoReport
    options: VideoOptions
    source: StoredFile
    """The upload that it was made from."""


@dataclass(frozen=True)
class PicturesResult:
    """The frames between two pictures."""

    names: list[str]
    """Random names of the files, from the first picture to the second."""
    dropped: tuple[str, ...]
    """Properties of the pictures that the frames do not have."""


@dataclass(frozen=True)
class PixelView:
    """The prediction for a pixel of the middle frame."""

    width: int
    """Width of the frames, which may be downscaled."""
    height: int
    kernels: PixelKernels
    flow: tuple[float, float]
    """From the first to the second frame, x before y, in pixels."""
    flow_picture: bytes
    """Flow of all pixels as colours, a PNG."""
    longest: float
    """Length in pixels of the flow that is drawn with full saturation."""


def video_work(
    session: Session, networks: Networks, model: str, options: VideoOptions
) -> Callable[[Job], VideoResult]:
    """Return the work that interpolates the video of a session.

    Args:
        session: whose upload is interpolated, and which gets the result.
        networks: load the network.
        model: name of the network.
        options: of the result.

    Raises:
        SourceError: there is no upload.
    """
    source = session.uploads.get(VIDEO)
    if source is None:
        raise SourceError(NEEDS_VIDEO)
    suffix = CODEC_SUFFIXES.get(options.encoding.codec or "", ".mp4")

    def work(job: Job) -> VideoResult:
        folder = session.new_path()
        folder.mkdir(mode=0o700)
        linked, target = folder / VIDEO, folder / f"{RESULT}{suffix}"
        try:
            link_upload(source.path, linked)
            job.report(0, None)
            interpolator = WatchedInterpolator(networks.get(model), job.show, job.check)
            report = convert_video(linked, target, interpolator, options, progress=job.report)
            kept = target.rename(session.new_path(suffix))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        media_type = "video/mp4" if suffix == ".mp4" else UNPLAYABLE
        (name,) = session.set_results(VIDEO, [StoredFile(kept, media_type)])
        return VideoResult(name, suffix, report, options, source)

    return work


def link_upload(path: Path, link: Path) -> None:
    """Create a hard link to an upload, which remains when another upload replaces it.

    Raises:
        SourceError: it was replaced already.
    """
    try:
        os.link(path, link)
    except FileNotFoundError as error:
        raise SourceError(REPLACED) from error


def pictures_work(
    session: Session, networks: Networks, model: str, count: int
) -> Callable[[Job], PicturesResult]:
    """Return the work that interpolates frames between the two pictures of a session.

    Raises:
        OptionError: the number of frames is out of range.
        SourceError: the pictures are missing, or their sizes differ.
    """
    if not 1 <= count <= MAX_COUNT:
        raise OptionError(f"frames between are {count}: 1 to {MAX_COUNT} are needed")
    first, second = _pictures(session)

    def work(job: Job) -> PicturesResult:
        job.report(0, count)
        pair = read_pair(first.path, second.path)
        interpolator = WatchedInterpolator(networks.get(model), job.show, job.check)
        times = [(n + 1) / (count + 1) for n in range(count)]
        middle = interpolator.interpolate_many(
            pair.first,
            pair.second,
            times,
            progress=lambda fraction: job.report(fraction * count, count),
        )
        files = []
        for image in (pair.first, *middle, pair.second):
            path = session.new_path(".png")
            write_image(path, image, pair.icc_profile)
            files.append(StoredFile(path, "image/png"))
        return PicturesResult(session.set_results(PICTURES_TAB, files), pair.dropped)

    return work


def pixel_work(
    session: Session, networks: Networks, model: str, x: float, y: float
) -> Callable[[Job], PixelView]:
    """Return the work that predicts the kernels and the flow of a pixel between the two pictures.

    Args:
        session: whose pictures are used.
        networks: load the network.
        model: name of the network.
        x, y: position in the picture, from 0 to 1.

    Raises:
        SourceError: the pictures are missing, or their sizes differ.
    """
    _pictures(session)

    def work(job: Job) -> PixelView:
        job.report(0, 2)
        interpolator = networks.get(model)
        first, second = _downscaled_pictures(session)
        height, width = first.shape[:2]
        column = min(width - 1, max(0, int(x * width)))
        row = min(height - 1, max(0, int(y * height)))
        found = pixel_kernels(interpolator, first, second, column, row)
        job.report(1, 2)
        motion = _motion(session, interpolator, model, first, second)
        longest = max(1.0, float(np.percentile(np.hypot(*motion), 99)))
        rows, columns = motion.shape[1:]
        at = motion[:, row * rows // height, column * columns // width]
        colours = draw_flow_colours(motion, longest)
        return PixelView(
            width, height, found, (float(at[0]), float(at[1])), to_png(colours), longest
        )

    return work


def _pictures(session: Session) -> tuple[StoredFile, StoredFile]:
    first, second = session.uploads.get(FIRST), session.uploads.get(SECOND)
    if first is None or second is None:
        raise SourceError(NEEDS_PICTURES)
    sizes = [(each.facts.width, each.facts.height) for each in (first, second)]
    if sizes[0] != sizes[1]:
        before, after = (f"{width}x{height}" for width, height in sizes)
        raise SourceError(
            f"the pictures have {before} and {after} pixels: two of one size are needed"
        )
    return first, second


def _downscaled_pictures(session: Session) -> list[Array]:
    files = _pictures(session)
    key = ("pictures", *(each.path for each in files))
    if key not in session.cache:
        images = [Image.fromarray(read_image(each.path)) for each in files]
        width, height = images[0].size
        factor = math.sqrt(MAX_VISUALIZED_PIXELS / (width * height))
        if factor < 1:
            size = (max(1, int(width * factor)), max(1, int(height * factor)))
            images = [each.resize(size, Image.Resampling.LANCZOS) for each in images]
        session.cache[key] = [np.array(each) for each in images]
    found: list[Array] = session.cache[key]
    return found


def _motion(
    session: Session, interpolator: Interpolator, model: str, first: Array, second: Array
) -> Floats:
    key = ("motion", model, *(each.path for each in _pictures(session)))
    if key not in session.cache:
        session.cache[key] = kernel_motion(interpolator, first, second)
    found: Floats = session.cache[key]
    return found


def speed_work(networks: Networks, model: str, width: int, height: int) -> Callable[[Job], float]:
    """Return the work that measures the seconds per frame of a network."""

    def work(job: Job) -> float:
        job.check()
        return networks.measure(model, width, height, job.check)

    return work


def to_png(image: Array) -> bytes:
    """Return an image (H, W, 3) or (H, W) uint8 as a PNG."""
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
