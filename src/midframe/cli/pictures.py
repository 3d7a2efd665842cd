"""Commands for pairs of pictures."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from midframe.cli.shared import Device, Ensemble, Model, Overwrite, Precision, Scale, Tile, app, err, out, share_bar
from midframe.decoding import HDR_TRANSFERS, read_picture
from midframe.errors import VideoError
from midframe.images import Array, in_one_form, lost_as, same_profile, write_image, writes
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import DEFAULT_MODEL
from midframe.outputs import check_output_file

Image.MAX_IMAGE_PIXELS = None  # the command line reads its user's own files, however large


@app.command()
def image(
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another of the same size.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The result; FIRST-mid.png if not given. Several are numbered."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many frames to make, evenly spaced.")] = 1,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    tile: Tile = None,
    scale: Scale = None,
    ensemble: Ensemble = 1,
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Make the frame between two pictures, or several."""
    target = target or first.with_name(f"{first.stem}-mid.png")
    digits = len(str(count))
    names = [target] if count == 1 else [target.with_stem(f"{target.stem}-{n:0{digits}}") for n in range(1, count + 1)]
    for name in names:
        check_output_file(name, inputs=(first, second), overwrite=overwrite)
    check_writes(target)
    pair = read_pair(first, second)
    tool = Interpolator(model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision)
    times = [n / (count + 1) for n in range(1, count + 1)]
    with share_bar(count) as show:
        made = tool.interpolate_many(pair.first, pair.second, times, progress=show)
    for name, picture in zip(names, made, strict=True):
        write_image(name, picture, pair.icc_profile)
        out.print(str(name), soft_wrap=True)
    deep, alpha = pair.first.dtype == np.uint16, pair.first.shape[2] == 4
    for lost in (*pair.left_out, *lost_as(target.suffix, deep=deep, alpha=alpha, icc_profile=pair.icc_profile)):
        err.print(f"midframe: left out: {lost}", markup=False, soft_wrap=True)


@app.command()
def kernels(
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another of the same size.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="The figure; FIRST-kernels.png if not given.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A pixel; may be repeated. The centre if not given.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw the kernels of chosen pixels beside what they see, and the motion that all kernels show."""
    from midframe.evaluation.figures import check_figure
    from midframe.evaluation.kernels import draw_kernels

    target = target or first.with_name(f"{first.stem}-kernels.png")
    check_figure(target, inputs=(first, second), overwrite=overwrite)
    pictures = read_pair(first, second).colours
    height, width = pictures[0].shape[:2]
    points = [point_of(text) for text in at or [f"{width // 2},{height // 2}"]]
    draw_kernels(target, Interpolator(model, device=device, precision=precision), *pictures, points)
    out.print(str(target), soft_wrap=True)


@app.command()
def look(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="A picture.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="The next, of the same size.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="The figure; FIRST-look.png if not given.")
    ] = None,
    time: Annotated[float, typer.Option(min=0, max=1, help="From 0, the first picture, to 1, the second.")] = 0.5,
    model: Model = "flowsep",
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw what flowsep says of two pictures: flow, kernels, mask, residual, and where it is not to be trusted."""
    from midframe.evaluation.figures import check_figure
    from midframe.evaluation.visualize import draw_maps

    target = target or first.with_name(f"{first.stem}-look.png")
    check_figure(target, inputs=(first, second), overwrite=overwrite)
    pictures = read_pair(first, second).colours
    draw_maps(target, Interpolator(model, device=device, precision=precision), *pictures, time)
    out.print(str(target), soft_wrap=True)


@dataclass(frozen=True)
class Pair:
    """Two pictures of one size, type and number of channels."""

    first: Array
    """(H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16."""
    second: Array
    icc_profile: bytes | None
    """Of the first picture, or else of the second."""
    left_out: tuple[str, ...]
    """What of the files is not in it."""

    @property
    def colours(self) -> tuple[Array, Array]:
        """The pictures without alpha."""
        first, second = (np.ascontiguousarray(image[..., :3]) for image in (self.first, self.second))
        return first, second


def read_pair(first: Path, second: Path) -> Pair:
    """Read two pictures; one of more bits, or with alpha, gives the other one its form.

    Raises:
        VideoError: one cannot be read, or their sizes differ.
    """
    pictures = [read_picture(path) for path in (first, second)]
    sizes = [
        f"{path} is {picture.image.shape[1]}x{picture.image.shape[0]}"
        for path, picture in zip((first, second), pictures, strict=True)
    ]
    if pictures[0].image.shape[:2] != pictures[1].image.shape[:2]:
        raise VideoError(f"the pictures differ in size: {', '.join(sizes)}: scale one of them")
    left_out = [
        f"{lost} of {path}" for path, each in zip((first, second), pictures, strict=True) for lost in each.left_out
    ]
    if any(picture.transfer in HDR_TRANSFERS for picture in pictures):
        left_out.append("HDR transfer function (the result does not state it)")
    profile, other = (picture.icc_profile for picture in pictures)
    if profile and other and not same_profile(profile, other):
        left_out.append(f"ICC profile of {second} (another than that of {first}, which the result has)")
    elif not same_profile(profile, other):
        left_out.append(f"exact colours of {first if other else second} (it has no ICC profile, the other picture has)")
    images = in_one_form([picture.image for picture in pictures])
    return Pair(images[0], images[1], profile or other, tuple(left_out))


def check_writes(target: Path) -> None:
    """Check that pictures can be written with the ending of a name."""
    if not writes(target.suffix):
        ending = target.suffix or "a name without an ending"
        raise VideoError(f"{target}: pictures cannot be written as {ending}: use .png")


def point_of(text: str) -> tuple[int, int]:
    """Read a pixel from "X,Y"."""
    match = re.fullmatch(r"(\d+),(\d+)", text.strip())
    if not match:
        raise ValueError(f"--at is {text!r}: a pixel as X,Y is needed, for example 320,180")
    return int(match[1]), int(match[2])
