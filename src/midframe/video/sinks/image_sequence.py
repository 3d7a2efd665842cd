"""Results as numbered images in a folder."""

import shutil
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from midframe.errors import VideoError
from midframe.folders import visible_files
from midframe.media.colour.conversion import to_rgb
from midframe.media.pictures.images import Array, can_write, lost_properties
from midframe.media.reading.image_sequence import (
    DEFAULT_NAME,
    image_files,
    is_pattern,
    number_of,
    numbered_files,
    numbered_name,
    write_images,
)
from midframe.media.reading.opacity import lost_alpha
from midframe.media.writing.encoders import lossless_encoding
from midframe.options import EncodingOptions
from midframe.outputs import check_output_folder, same_place
from midframe.video.plan import Extent
from midframe.video.report import check_images
from midframe.video.sinks.image_results import decode_segments, report_dropped
from midframe.video.sinks.lost_colours import lost_transfer
from midframe.video.sinks.protocol import Conversion, abort_on_error
from midframe.video.sinks.segment_encoder import SegmentedSink, SegmentEncoder


class ImageSequenceTarget:
    """Images in a folder, with names from a pattern: a `Target`."""

    stores_display_matrix = False
    stores_aspect_ratio = False
    constant_rate_only = True
    min_step = Fraction(0)
    starts_at_zero = False

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        self.path = path
        self.options = options
        self.folder = path.parent if is_pattern(path) else path
        """Folder of the images."""
        self.pattern = path.name if is_pattern(path) else DEFAULT_NAME
        """Pattern of their names."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """See `Target`."""
        if not can_write(Path(self.pattern).suffix):
            raise VideoError(
                f"{self.path}: images cannot be written with this suffix: use {DEFAULT_NAME}"
            )
        if not self.folder.parent.is_dir():
            raise VideoError(
                f"{self.folder.parent} is not a folder: create it first, or name another output"
            )
        check_output_folder(self.folder, inputs=() if is_pattern(self.path) else [source])
        for each in image_files(source) or [source]:
            if number_of(self.pattern, each.name) is not None and same_place(
                each.parent, self.folder
            ):
                raise VideoError(
                    f"{each} is an input that {self.path} would overwrite: name another output"
                )
        before = numbered_files(self.folder, self.pattern)
        if before and not overwrite:
            raise VideoError(
                f"{before[min(before)]} exists: name another output, or give --overwrite"
            )
        self._check_no_other_files(before)

    def _check_no_other_files(self, images: Mapping[int, Path]) -> None:
        """Check that a folder given without a pattern holds nothing but images of a result."""
        if is_pattern(self.path) or not self.folder.is_dir():
            return
        files = visible_files(self.folder, self.folder.iterdir())
        if other_files := set(files) - set(images.values()):
            raise VideoError(
                f"{self.folder} holds other files ({min(other_files).name}): name a new folder, or "
                f"a pattern such as {self.folder}/frame-%06d.png"
            )

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """See `Target`: images have no mark that identifies a complete result."""
        return False

    def begin(
        self, conversion: Conversion, *, resume: bool, overwrite: bool
    ) -> "ImageSequenceSink":
        """See `Target`."""
        encoding = lossless_encoding(
            conversion.picture, conversion.colour, **conversion.encoding_arguments
        )
        encoder = SegmentEncoder(
            self.folder, conversion, encoding, resume=resume, overwrite=overwrite
        )
        with abort_on_error(encoder.abort):
            return ImageSequenceSink(self.folder, self.pattern, conversion, encoder)


class ImageSequenceSink(SegmentedSink):
    """Writes images from finished segments: a `Sink`."""

    stores_spherical_metadata = False

    def __init__(
        self, folder: Path, pattern: str, conversion: Conversion, encoder: SegmentEncoder
    ) -> None:
        self.folder = folder
        self.pattern = pattern
        self.conversion = conversion
        self.encoder = encoder
        self.encoding = encoder.encoding
        self.finished = encoder.finished
        report_dropped(conversion, folder.name or pattern, _lost(Path(pattern).suffix, conversion))

    def finish(self, extent: Extent) -> None:
        """See `Sink`."""
        unfinished = self.encoder.folder / "pictures"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            images: Iterator[Array] = (
                to_rgb(frame, self.encoding.colour)
                for frame in decode_segments(self.encoder, extent.end_pts)
            )
            profile = self.conversion.source.contents.icc_profile
            count = write_images(unfinished, self.pattern, images, profile)
            self.folder.mkdir(exist_ok=True)
            names = [numbered_name(self.pattern, number) for number in range(1, count + 1)]
            for name in names:
                (unfinished / name).replace(self.folder / name)
            for number, path in numbered_files(self.folder, self.pattern).items():
                if not 1 <= number <= count:  # of an earlier, longer result
                    path.unlink()
        except OSError as error:
            raise VideoError(
                f"{self.folder} cannot be written to ({error}): choose another place for OUT"
            ) from error
        self.encoder.remove()
        paths = [self.folder / name for name in names]
        check_images(paths, self.conversion.report, self.conversion.timeline.rate)


def _lost(suffix: str, conversion: Conversion) -> list[str]:
    """List the properties of the images that the format of a suffix does not support."""
    lost = lost_properties(
        suffix,
        high_bit_depth=conversion.colour.high_bit_depth,
        alpha=False,
        icc_profile=conversion.source.contents.icc_profile,
    )
    if conversion.colour.alpha and lost_properties(
        suffix, high_bit_depth=False, alpha=True, icc_profile=None
    ):
        lost += filter(None, [lost_alpha(conversion.source)])
    return lost + lost_transfer(conversion, suffix.removeprefix(".").upper())
