"""Commands for pairs of images: image, kernels, visualize."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midframe.cli.config import was_given
from midframe.cli.options import takes_interpolation_options
from midframe.cli.parameters import RETIMING, Overwrite
from midframe.cli.shared import command, err, out, progress_bar
from midframe.errors import OptionError, VideoError
from midframe.models.shipped import find_weights
from midframe.options import InterpolationOptions
from midframe.outputs import check_output_file

if TYPE_CHECKING:
    from midframe.media.pictures.images import Array
    from midframe.media.pictures.pair import Pair


@command(
    epilog="""
    midframe image first.png second.png
    midframe image first.png second.png between.png --count 3
    midframe image first.png second.png --time 1/3
    """
)
@takes_interpolation_options
def image(
    first: Annotated[Path, typer.Argument(help="An image.")],
    second: Annotated[Path, typer.Argument(help="Another image of the same size.")],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]",
            help="The result; FIRST-mid.png if not given. Several results are numbered.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            metavar="N",
            min=1,
            help="Number of frames, at equal steps; 1 if not given.",
            rich_help_panel=RETIMING,
        ),
    ] = None,
    time: Annotated[
        list[str] | None,
        typer.Option(
            metavar="T",
            help="Time of a frame, from 0 (FIRST) to 1 (SECOND), as in 0.25 or 1/3; "
            "can be repeated.",
            rich_help_panel=RETIMING,
        ),
    ] = None,
    *,
    interpolation: InterpolationOptions,
    overwrite: Overwrite = False,
) -> None:
    """Interpolate one or several frames between two images."""
    times = choose_times(count, time or [])
    target = target or first.with_name(f"{first.stem}-mid.png")
    names = numbered_names(target, len(times))
    for name in names:
        check_output_file(name, inputs=(first, second), overwrite=overwrite)
    check_writes(target)
    find_weights(interpolation.model)
    pair = read_own_pair(first, second)
    from midframe.interpolator import Interpolator
    from midframe.media.pictures.images import lost_properties, write_image

    interpolator = Interpolator.from_options(interpolation, single_pair=True)
    with progress_bar(len(times)) as show:
        images = interpolator.interpolate_many(pair.first, pair.second, times, progress=show)
    for name, picture in zip(names, images, strict=True):
        write_image(name, picture, pair.icc_profile)
        out.print(str(name), soft_wrap=True)
    lost_by_format = lost_properties(
        target.suffix,
        high_bit_depth=pair.first.dtype == "uint16",
        alpha=pair.first.shape[2] == 4,
        icc_profile=pair.icc_profile,
    )
    for lost in (*pair.dropped, *lost_by_format):
        err.print(f"midframe: dropped: {lost}", markup=False, soft_wrap=True)


def read_own_pair(first: Path, second: Path) -> Pair:
    """Read two images of any size; see `read_pair`."""
    from PIL import Image

    from midframe.media.pictures.pair import read_pair

    Image.MAX_IMAGE_PIXELS = None  # no limit: the files are the user's own
    return read_pair(first, second)


def choose_times(count: int | None, given: Sequence[str]) -> list[Fraction]:
    """Return the times of the frames between two images.

    Args:
        count: number of frames at equal steps; one if it is None and no times are given.
        given: times from 0 to 1, as decimal numbers or fractions.

    Raises:
        OptionError: both are given, or a time is not a number from 0 to 1.
    """
    if given and count is not None:
        raise OptionError(
            f"--count is {count} and --time {given[0]}: only one of them can be given"
        )
    return [parse_time(text) for text in given] or even_times(count or 1)


def even_times(count: int) -> list[Fraction]:
    """Return `count` times that divide the interval from 0 to 1 evenly."""
    return [Fraction(n, count + 1) for n in range(1, count + 1)]


def parse_time(text: str) -> Fraction:
    """Parse a time such as 0.25 or 1/3; raise an OptionError if it is not a number from 0 to 1."""
    try:
        time = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(
            f"--time is {text!r}: a number from 0 to 1 is needed, as in 0.25 or 1/3"
        ) from error
    if not 0 <= time <= 1:
        raise OptionError(
            f"--time is {text}: a number from 0 (the first image) to 1 (the second) is needed"
        )
    return time


def numbered_names(target: Path, count: int) -> list[Path]:
    """Return the names of `count` results: the target itself for one, otherwise with numbers from
    1."""
    if count == 1:
        return [target]
    digits = len(str(count))
    return [target.with_stem(f"{target.stem}-{n:0{digits}}") for n in range(1, count + 1)]


@command(
    epilog="""
    midframe kernels first.png second.png --at 320,180
    """
)
@takes_interpolation_options
def kernels(
    first: Annotated[Path, typer.Argument(help="An image.")],
    second: Annotated[Path, typer.Argument(help="Another image of the same size.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The figure; FIRST-kernels.png if not given."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A pixel; can be repeated. The centre if not given."),
    ] = None,
    *,
    context: typer.Context,
    interpolation: InterpolationOptions,
    overwrite: Overwrite = False,
) -> None:
    """Draw the kernels of chosen pixels, and the motion that all kernels imply."""
    target = target or first.with_name(f"{first.stem}-kernels.png")
    if interpolation.ensemble > 1 and was_given(context, "ensemble"):
        raise OptionError(
            f"`ensemble` is {interpolation.ensemble}: a figure shows the kernels of one view, drop "
            "`ensemble`"
        )
    interpolation = replace(interpolation, ensemble=1)  # a quality or a configuration has more
    pictures = check_drawing(first, second, target, interpolation.model, overwrite=overwrite)
    height, width = pictures[0].shape[:2]
    points = [parse_point(text, width, height) for text in at or [f"{width // 2},{height // 2}"]]
    from midframe.evaluation.kernels import draw_kernels
    from midframe.interpolator import Interpolator

    draw_kernels(target, Interpolator.from_options(interpolation), *pictures, points)
    out.print(str(target), soft_wrap=True)


@command("look", hidden=True)  # the name of the command in version 0.1
@command(
    epilog="""
    midframe visualize first.png second.png
    """
)
@takes_interpolation_options
def visualize(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="An image.")],
    second: Annotated[
        Path, typer.Argument(metavar="SECOND", help="The next one, of the same size.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The figure; FIRST-visualize.png if not given."),
    ] = None,
    time: Annotated[
        float, typer.Option(metavar="T", min=0, max=1, help="From 0 (FIRST) to 1 (SECOND).")
    ] = 0.5,
    *,
    interpolation: InterpolationOptions,
    overwrite: Overwrite = False,
) -> None:
    """Draw the outputs of flowsep for two images: flow, kernels, mask, residual, confidence."""
    target = target or first.with_name(f"{first.stem}-visualize.png")
    pictures = check_drawing(first, second, target, interpolation.model, overwrite=overwrite)
    from midframe.evaluation.visualize import draw_maps, network_of
    from midframe.interpolator import Interpolator
    from midframe.models.flowsep import FlowSep

    interpolator = Interpolator.from_options(interpolation)
    network = network_of(interpolator)
    if not isinstance(network, FlowSep):
        raise OptionError(
            f"--model {interpolation.model}: {type(network).__name__} has no flows: use "
            "`midframe kernels`, or flowsep"
        )
    draw_maps(target, interpolator, *pictures, time)
    out.print(str(target), soft_wrap=True)


def check_drawing(
    first: Path, second: Path, target: Path, model: str, *, overwrite: bool
) -> tuple[Array, Array]:
    """Check the arguments of a command that draws a figure, and read its two images.

    Raises:
        VideoError: an image cannot be read, or the figure cannot be written.
        CheckpointError: there are no such weights.
    """
    check_output_file(target, inputs=(first, second), overwrite=overwrite)
    find_weights(model)
    pictures = read_own_pair(first, second).colours
    from midframe.evaluation.figures import check_figure

    check_figure(target, inputs=(first, second), overwrite=overwrite)
    return pictures


def check_writes(target: Path) -> None:
    """Check that images can be written with the suffix of a name."""
    from midframe.media.pictures.images import can_write

    if not can_write(target.suffix):
        ending = target.suffix or "a name without a suffix"
        raise VideoError(f"{target}: images cannot be written as {ending}: use .png")


def parse_point(text: str, width: int, height: int) -> tuple[int, int]:
    """Parse the position of a pixel, "X,Y"; raise an OptionError if it is outside of the image."""
    match = re.fullmatch(r"(\d+),(\d+)", text.strip())
    if not match:
        raise OptionError(f"--at is {text!r}: a pixel as X,Y is needed, for example 320,180")
    x, y = int(match[1]), int(match[2])
    if x >= width or y >= height:
        raise OptionError(
            f"--at is {text}: x from 0 to {width - 1} and y from 0 to {height - 1} are needed"
        )
    return x, y
