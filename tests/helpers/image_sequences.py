"""Image files for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

from helpers.video import render_frame
from midframe.media.pictures.images import Array


def folder_of(
    folder: Path, pictures: list[Array | Image.Image], form: str = "%04d.png", **options: object
) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures, start=1):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(folder / (form % number), **options)
    return folder


def rendered(count: int) -> list[Array]:
    return [render_frame(n) for n in range(count)]


def animation(path: Path, frames: list[Array | Image.Image], **options: object) -> Path:
    pictures = [each if isinstance(each, Image.Image) else Image.fromarray(each) for each in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    return path


def render_image(time: float, deep: bool = False, alpha: bool = False) -> Array:
    image = render_frame(time).astype(np.uint16) * 257 + 3 if deep else render_frame(time)
    if not alpha:
        return image
    rows, columns = np.mgrid[0:64, 0:96]
    opaque = ((rows - 32) ** 2 + (columns - 30 - 2 * time) ** 2 < 24**2) * np.iinfo(image.dtype).max
    return np.dstack([image, opaque.astype(image.dtype)])
