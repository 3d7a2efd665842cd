"""Labels above images that lie side by side."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from midframe.media.pictures.images import Array

LABEL_DIVISOR = 18
"""The strip of labels has the height of the images divided by this, and at least MIN_HEIGHT."""
MIN_HEIGHT, TEXT_HEIGHT = 16, 0.6
"""Pixels, and the fraction of them that the text takes."""


def draw_labels(labels: Sequence[str], image: Array, gap: int = 0) -> Array:
    """Draw a strip (h, W, 3) with each label above the centre of its image, white on black.

    Args:
        labels: from left to right, one for each image.
        image: one of the images, (H, W, 3); all have its size and type.
        gap: pixels between the images.
    """
    height, width, _ = image.shape
    top = max(MIN_HEIGHT, height // LABEL_DIVISOR)
    strip = Image.new("RGB", (len(labels) * (width + gap) - gap, top))
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=top * TEXT_HEIGHT)
    for number, label in enumerate(labels):
        centre = number * (width + gap) + width // 2
        pen.text((centre, top // 2), label, fill="white", font=font, anchor="mm")
    scaled: Array = np.asarray(strip).astype(image.dtype) * (np.iinfo(image.dtype).max // 255)
    return scaled
