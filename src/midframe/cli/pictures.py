"""Commands for pairs of pictures."""

import re
from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.shared import Device, Ensemble, Model, Overwrite, Precision, Scale, Tile, app, out, share_bar
from midframe.errors import VideoError
from midframe.images import Array, read_image, write_image
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import DEFAULT_MODEL


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
    names = (
        [target]
        if count == 1
        else [target.with_stem(f"{target.stem}-{n:0{len(str(count))}}") for n in range(1, count + 1)]
    )
    first_picture, second_picture = check_pictures(first, second, names, overwrite)
    tool = Interpolator(model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision)
    times = [n / (count + 1) for n in range(1, count + 1)]
    with share_bar(count) as show:
        made = tool.interpolate_many(first_picture, second_picture, times, progress=show)
    for name, picture in zip(names, made, strict=True):
        write_image(name, picture)
        out.print(str(name), soft_wrap=True)


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
    from midframe.evaluation.kernels import draw_kernels

    target = target or first.with_name(f"{first.stem}-kernels.png")
    pictures = check_pictures(first, second, [target], overwrite)
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
    from midframe.evaluation.look import draw_look

    target = target or first.with_name(f"{first.stem}-look.png")
    pictures = check_pictures(first, second, [target], overwrite)
    draw_look(target, Interpolator(model, device=device, precision=precision), *pictures, time)
    out.print(str(target), soft_wrap=True)


def check_pictures(first: Path, second: Path, targets: list[Path], overwrite: bool) -> tuple[Array, Array]:
    """Read both pictures and see that they fit and that nothing is lost by writing."""
    for target in targets:
        if target.exists() and not overwrite:
            raise VideoError(f"{target} exists: name another OUT, or give --overwrite")
    pictures = [read_image(path) for path in (first, second)]
    sizes = [
        f"{path} is {picture.shape[1]}x{picture.shape[0]}"
        for path, picture in zip((first, second), pictures, strict=True)
    ]
    if pictures[0].shape != pictures[1].shape:
        raise VideoError(f"the pictures differ in size: {', '.join(sizes)}: scale one of them")
    return pictures[0], pictures[1]


def point_of(text: str) -> tuple[int, int]:
    """Read a pixel from "X,Y"."""
    match = re.fullmatch(r"(\d+),(\d+)", text.strip())
    if not match:
        raise ValueError(f"--at is {text!r}: a pixel as X,Y is needed, for example 320,180")
    return int(match[1]), int(match[2])
