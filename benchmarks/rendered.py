"""Rendered triplets with exact ground truth, one for each difficulty of frame interpolation.

Everything is rendered at four times the resolution and moves by whole pixels there, so by quarters
of a pixel of the frames: the middle frame is as exact as both ends. Frames are the means of 4x4
pixels, rounded to 8 bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.media.pictures.images import Array, eight_bit, read_image

FINER = 4
"""Pixels of a canvas along the side of one pixel of a frame."""
HEIGHT, WIDTH = 320, 512
"""Of the frames in pixels."""
MAX_MOTION = 128
"""The longest motion between both frames, in pixels."""
SPACE = MAX_MOTION // 2
"""Pixels of a canvas that a frame at rest does not show, on each of its four sides."""
CANVAS = ((HEIGHT + 2 * SPACE) * FINER, (WIDTH + 2 * SPACE) * FINER)  # (1792, 2560)
"""Height and width of a canvas, in its own pixels."""

TRANSLATIONS = (0.5, 1, 2.5, 4, 8, 12.5, 16, 32, 48, 64, 96, 128)
BAR_WIDTHS, BAR_MOTION = (1, 2, 4, 6, 8), 16
TEXT_MOTIONS = (12, 32)
DISC_DIAMETERS, DISC_MOTION = (4, 8, 16), 40
OCCLUDER_MOTION, BACKGROUND_MOTIONS = 32, (0, -12)
PATTERN_MOTION = 20
"""Motions between both frames, diameters and widths, all in pixels of the frames."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Offset = tuple[float, float]
"""Rows and columns, in pixels of the frames."""
ENDS_AND_MIDDLE = (-0.5, 0.0, 0.5)
"""When the three frames are shown, as fractions of the motion; at 0 everything is where it was
drawn."""


@dataclass(frozen=True)
class Triplet:
    """Two frames, the exact frame between them, and where it is measured."""

    name: str
    first: Array
    middle: Array
    second: Array
    region: Mask
    """(H, W), the pixels that are measured."""


@dataclass(frozen=True)
class Layer:
    """Something that moves as a whole."""

    canvas: Array
    """(H, W, 3) of the size CANVAS."""
    opacity: Array | None = None
    """(H, W), 0 to 255; None if it hides everything behind it."""
    motion: Offset = (0.0, 0.0)
    """From the first to the second frame."""

    def at(self, time: float) -> tuple[Array, Array | None]:
        """Cut what a frame shows of the layer at a time of `ENDS_AND_MIDDLE`, in pixels of the
        canvas."""
        top, left = (round((SPACE - time * each) * FINER) for each in self.motion)
        rows, columns = slice(top, top + HEIGHT * FINER), slice(left, left + WIDTH * FINER)
        return self.canvas[rows, columns], None if self.opacity is None else self.opacity[
            rows, columns
        ]

    def coverage(self, time: float) -> Mask:
        """Find the pixels of a frame (H, W) that the layer covers, wholly or partly."""
        _, opacity = self.at(time)
        assert opacity is not None
        covered: Mask = opacity.reshape(HEIGHT, FINER, WIDTH, FINER).max(axis=(1, 3)) > 0
        return covered


def render_all(photos: list[Path]) -> Iterator[tuple[str, list[Triplet]]]:
    """Render every difficulty: its name, and one triplet for each content.

    Args:
        photos: photographs; the first two of them replace the noise among the contents.
    """
    contents = make_contents(photos)
    yield "same frame twice", [same_twice(each) for each in contents]
    for motion in TRANSLATIONS:
        yield (
            f"translation by {motion:g} px",
            [translation(each, motion, index) for index, each in enumerate(contents)],
        )
    backgrounds = contents[:2]
    for width in BAR_WIDTHS:
        yield f"bars of {width} px moving {BAR_MOTION}", [bars(each, width) for each in backgrounds]
    for motion in TEXT_MOTIONS:
        yield (
            f"static text, background moving {motion}",
            [static_text(each, motion) for each in backgrounds],
        )
    for name in PATTERNS:
        yield (
            f"{name} moving {PATTERN_MOTION}",
            [repeated_pattern(each, name) for each in backgrounds],
        )
    for diameter in DISC_DIAMETERS:
        yield (
            f"discs of {diameter} px moving {DISC_MOTION}",
            [discs(each, diameter) for each in backgrounds],
        )
    for motion in BACKGROUND_MOTIONS:
        name = f"beside an occluder moving {OCCLUDER_MOTION}, background {motion}"
        yield (
            name,
            [
                occluder(each, other, motion)
                for each, other in zip(backgrounds, backgrounds[::-1], strict=True)
            ],
        )


def make_contents(photos: list[Path]) -> list[Array]:
    """Render the canvases that everything is shown on: overlapping shapes, then two photographs or
    coloured noise."""
    return [
        overlapping_shapes(),
        *([photograph(each) for each in photos[:2]] or [coloured_noise()]),
    ]


def photograph(path: Path) -> Array:
    """Read a photograph, cut to the shape of a canvas and resized to its size."""
    image = eight_bit(read_image(path))[..., :3]
    scale = max(side / length for side, length in zip(CANVAS, image.shape, strict=False))
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    size = [
        max(side, round(scale * length)) for side, length in zip(CANVAS, image.shape, strict=False)
    ]
    resized = cv2.resize(image, size[::-1], interpolation=method)
    top, left = ((length - side) // 2 for side, length in zip(CANVAS, size, strict=True))
    return np.ascontiguousarray(resized[top : top + CANVAS[0], left : left + CANVAS[1]])


def overlapping_shapes(count: int = 3000, seed: int = 0) -> Array:
    """Draw discs and rectangles over each other, large and small as in photographs, with a fine
    grain.

    Source: the dead leaves model, Lee, Mumford and Huang, "Occlusion models for natural images"
    (2001).
    """
    rng = np.random.default_rng(seed)
    canvas = np.full((*CANVAS, 3), 128, np.uint8)
    smallest, largest = 4, 100  # pixels of a frame
    for radius in (
        FINER * smallest / np.sqrt(rng.uniform((smallest / largest) ** 2, 1, count))
    ):  # density r**-3
        colour = (rng.uniform(10, 245) + rng.normal(0, 25, 3)).clip(0, 255).tolist()
        x, y = (int(rng.integers(length)) for length in CANVAS[::-1])
        if rng.random() < 0.5:
            cv2.circle(canvas, (x, y), int(radius), colour, cv2.FILLED)
        else:
            box = ((x, y), tuple(radius * rng.uniform(0.6, 2, 2)), float(rng.uniform(0, 180)))
            cv2.fillPoly(canvas, [cv2.boxPoints(box).astype(np.int32)], colour)
    return _to_levels(canvas + 8 * _noise(rng)[..., None])


def coloured_noise(seed: int = 1) -> Array:
    """Render noise with the spectrum of photographs, amplitude over frequency, each colour partly
    its own."""
    rng = np.random.default_rng(seed)
    shared = _noise(rng)
    return _to_levels(np.stack([128 + 35 * shared + 20 * _noise(rng) for _ in range(3)], axis=-1))


def _noise(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Render noise (H, W) of mean 0 and deviation 1 whose amplitude falls with frequency."""
    rows, columns = np.fft.fftfreq(CANVAS[0])[:, None], np.fft.rfftfreq(CANVAS[1])[None]
    spectrum = np.fft.rfft2(rng.standard_normal(CANVAS, np.float32))
    noise = np.fft.irfft2(spectrum / np.maximum(np.hypot(rows, columns), 4 / CANVAS[1]), CANVAS)
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def _to_levels(values: np.ndarray[Any, Any]) -> Array:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)


def compose(name: str, layers: list[Layer], region: Mask) -> Triplet:
    """Render a triplet from layers, the rearmost first."""
    first, middle, second = (_frame(layers, time) for time in ENDS_AND_MIDDLE)
    return Triplet(name, first, middle, second, region)


def _frame(layers: list[Layer], time: float) -> Array:
    picture, _ = layers[0].at(time)
    for layer in layers[1:]:
        colours, opacity = layer.at(time)
        assert opacity is not None
        weights = opacity[..., None].astype(np.uint16)
        picture = ((picture * (255 - weights) + colours * weights + 127) // 255).astype(np.uint8)
    frame = cv2.resize(np.ascontiguousarray(picture), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(frame, np.uint8)


def inner(margin_rows: float, margin_columns: float) -> Mask:
    """Select the pixels at least so far from the edges of a frame."""
    region = np.zeros((HEIGHT, WIDTH), bool)
    rows, columns = int(np.ceil(margin_rows)), int(np.ceil(margin_columns))
    region[rows : HEIGHT - rows, columns : WIDTH - columns] = True
    return region


def widened(mask: Mask, pixels: int) -> Mask:
    """Add what is at most so many pixels away from a mask, diagonally too."""
    return np.asarray(
        cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1))), bool
    )


def same_twice(content: Array) -> Triplet:
    """Show a picture three times."""
    return compose("same", [Layer(content)], inner(0, 0))


def translation(content: Array, motion: float, direction: int) -> Triplet:
    """Move a picture to the right, down, or to the left; measured where both frames show it."""
    offset = [(0.0, motion), (motion, 0.0), (0.0, -motion)][direction % 3]
    region = inner(*(8 + abs(each) / 2 for each in offset))
    return compose("translation", [Layer(content, motion=offset)], region)


def bars(background: Array, width: int) -> Triplet:
    """Move three bars over a static background: two vertical ones in opposite directions, and a
    horizontal one."""
    layers = [Layer(background)]
    places = [(40, 200, 100, 0, (0, BAR_MOTION), 255), (60, 240, 260, 0, (0, -BAR_MOTION), 0)]
    places.append((270, 0, 120, 260, (BAR_MOTION, 0), 235))
    for top, height, left, length, motion, level in places:
        opacity = np.zeros(CANVAS, np.uint8)
        rows, columns = (
            slice((SPACE + start) * FINER, (SPACE + start + (extent or width)) * FINER)
            for start, extent in ((top, height), (left, length))
        )
        opacity[rows, columns] = 255
        layers.append(Layer(np.full_like(background, level), opacity, motion))
    crossed = np.zeros((HEIGHT, WIDTH), bool)
    for layer in layers[1:]:
        for time in np.linspace(-0.5, 0.5, 2 * BAR_MOTION + 1):
            crossed |= layer.coverage(time)
    return compose("bars", layers, widened(crossed, 3))


def static_text(background: Array, motion: float) -> Triplet:
    """Move the background behind a subtitle, a small caption and a logo of half opacity; measured
    there."""
    colours, opacity = np.full_like(background, 250), np.zeros(CANVAS, np.uint8)
    lines = (
        ("The quick brown fox jumps over", 80, 280, 0.8, 2),
        ("LIVE 20:15  Kanal 7", 24, 40, 0.5, 1),
    )
    for text, x, y, size, stroke in lines:
        place = ((SPACE + x) * FINER, (SPACE + y) * FINER)
        for image, value, width in (
            (colours, 0, stroke + 2),
            (opacity, 255, stroke + 2),
            (colours, 250, stroke),
        ):
            level = (value, value, value) if image.ndim == 3 else value
            cv2.putText(
                image,
                text,
                place,
                cv2.FONT_HERSHEY_DUPLEX,
                size * FINER,
                level,
                width * FINER,
                cv2.LINE_AA,
            )
    centre = ((SPACE + 470) * FINER, (SPACE + 40) * FINER)
    for radius, level in ((24, 128), (16, 0), (9, 128)):
        cv2.circle(opacity, centre, radius * FINER, level, cv2.FILLED)
    letters = Layer(colours, opacity)
    return compose(
        "text", [Layer(background, motion=(0, motion)), letters], widened(letters.coverage(0), 3)
    )


def stripes() -> Array:
    """Draw slanted stripes, 14 pixels apart along a row."""
    rows, columns = np.indices(CANVAS) / FINER
    return np.where((columns + rows / 4) % 14 < 7, 210, 60).astype(np.uint8)


def grid() -> Array:
    """Draw lines of 3 pixels, 16 pixels apart in both directions."""
    rows, columns = np.indices(CANVAS) / FINER
    return np.where((rows % 16 < 3) | (columns % 16 < 3), 40, 190).astype(np.uint8)


def bricks() -> Array:
    """Draw a wall of bricks of 24x12 pixels, all alike, every second row shifted by half a
    brick."""
    rows, columns = np.indices(CANVAS) / FINER
    joint = (rows % 12 < 2) | ((columns + 12 * (rows // 12 % 2)) % 24 < 2)
    return np.where(joint, 200, 110).astype(np.uint8)


PATTERNS = {"stripes": stripes, "grid": grid, "bricks": bricks}


def repeated_pattern(content: Array, name: str) -> Triplet:
    """Move a repeated pattern by more than half of its period, with windows on a content that move
    along.

    With the motion of the nearest repetition instead, the middle would be wrong by half a period.
    Measured on the pattern alone.
    """
    canvas = np.repeat(PATTERNS[name]()[..., None], 3, axis=-1)
    windows = np.zeros((CANVAS[0] // FINER, CANVAS[1] // FINER), bool)
    for top, left, height, width in ((80, 90, 110, 90), (230, 300, 120, 130), (90, 460, 100, 100)):
        windows[top : top + height, left : left + width] = True
    fine = np.kron(windows, np.ones((FINER, FINER), bool))
    canvas[fine] = content[fine]
    shown = windows[SPACE : SPACE + HEIGHT, SPACE : SPACE + WIDTH]
    region = inner(16, 16 + PATTERN_MOTION / 2) & ~widened(shown, 2)
    return compose(name, [Layer(canvas, motion=(0, PATTERN_MOTION))], region)


def _even(value: float) -> float:
    """Round to an even number, half of which is a whole number of pixels."""
    return float(2 * round(value / 2))


def discs(background: Array, diameter: int) -> Triplet:
    """Move small discs over a static background in many directions; measured at all three places of
    each."""
    rng = np.random.default_rng(diameter)
    layers, region = [Layer(background)], np.zeros((HEIGHT, WIDTH), bool)
    for row in (60, 160, 260):
        for column in (70, 195, 320, 445):
            angle = rng.uniform(0, 2 * np.pi)
            motion = (_even(DISC_MOTION * np.sin(angle)), _even(DISC_MOTION * np.cos(angle)))
            opacity = np.zeros(CANVAS, np.uint8)
            place = ((SPACE + column) * FINER, (SPACE + row) * FINER)
            cv2.circle(opacity, place, diameter * FINER // 2, 255, cv2.FILLED)
            colour = rng.choice([0, 255], 3) if rng.random() < 0.7 else rng.integers(0, 256, 3)
            layers.append(
                Layer(np.broadcast_to(colour.astype(np.uint8), background.shape), opacity, motion)
            )
            for time in ENDS_AND_MIDDLE:
                region |= layers[-1].coverage(time)
    return compose("discs", layers, widened(region, 3))


def occluder(background: Array, content: Array, motion: float) -> Triplet:
    """Move a large object over a background that is static or moves against it; measured in a ring
    around its outline."""
    opacity = np.zeros(CANVAS, np.uint8)
    centre = ((SPACE + WIDTH // 2) * FINER, (SPACE + HEIGHT // 2) * FINER)
    cv2.ellipse(opacity, centre, (110 * FINER, 80 * FINER), 20, 0, 360, 255, cv2.FILLED)
    cv2.rectangle(
        opacity,
        (centre[0] - 20 * FINER, centre[1]),
        (centre[0] + 20 * FINER, CANVAS[0]),
        255,
        cv2.FILLED,
    )
    top = Layer(np.ascontiguousarray(content[::-1]), opacity, (0, OCCLUDER_MOTION))
    covered = top.coverage(0)
    ring = widened(covered, 24) & widened(~covered, 4)
    return compose("occluder", [Layer(background, motion=(0, motion)), top], ring)
