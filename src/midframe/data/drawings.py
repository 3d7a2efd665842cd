"""Sequences of drawings: plain colours, outlines, lines and letters, as animation, diagrams and screens have them.

Footage of cameras holds few of them. Every sequence is a drawing of its own, whose layers move by known motions.
"""

from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames
from midframe.data.stills import MARGIN, StillMotion, glide

FINER = 2
"""Drawings are made this many times larger, then reduced: their edges cover parts of pixels, as those of films do."""
OPAQUE = 255

Canvas = np.ndarray[Any, np.dtype[np.uint8]]
"""(H, W, 4): red, green, blue, opacity; colours are black where nothing is drawn."""
Ink = tuple[int, int, int, int]


def moving_drawing(rng: np.random.Generator, size: int, frames: int, motion: StillMotion) -> Frames:
    """Draw a sequence (F, size, size, 3), RGB uint8: a ground and one to three layers before it, each with its motion.

    Args:
        rng: the source of chance.
        size: height and width of the result in pixels.
        frames: how many, odd; the one in the middle is the drawing itself.
        motion: how the layers move; `layer_share` is not used.
    """
    side = (size + 2 * MARGIN) * FINER
    palette = _palette(rng)
    times = np.linspace(-1, 1, frames)
    sequence: Any = None
    for layer in range(rng.integers(2, 5)):
        canvas = np.zeros((side, side, 4), np.uint8)
        if layer == 0:
            canvas[:] = palette[0]
        for _ in range(rng.integers(2, 9) if layer == 0 else rng.integers(1, 4)):
            draw = rng.choice(np.array([_shape, _shape, _line, _rays, _letters], object))
            draw(canvas, rng, palette)
        small = cv2.resize(canvas.astype(np.float32), None, fx=1 / FINER, fy=1 / FINER, interpolation=cv2.INTER_AREA)
        moved = glide(small, rng, size, times, motion)
        # Reducing and moving have mixed opacity into the colours already: they are premultiplied.
        covered = moved[..., 3:] / OPAQUE
        sequence = moved[..., :3] if sequence is None else sequence * (1 - covered) + moved[..., :3]
    return np.asarray(np.rint(sequence).clip(0, 255), np.uint8)


def _palette(rng: np.random.Generator) -> list[Ink]:
    """The ground's colour first, then some others; half of the grounds are black or white."""
    colours = rng.integers(0, 256, (int(rng.integers(3, 7)), 3))
    if rng.random() < 0.5:
        colours[0] = 255 * rng.integers(2)
    if rng.random() < 0.7:
        colours[1] = 255 if colours[0].mean() < 128 else 0
    return [(int(red), int(green), int(blue), OPAQUE) for red, green, blue in colours]


def _ink(rng: np.random.Generator, palette: list[Ink]) -> Ink:
    """A colour that is not the ground's, most often the second."""
    return palette[1] if rng.random() < 0.4 else palette[int(rng.integers(1, len(palette)))]


def _width(rng: np.random.Generator) -> int:
    """Of a line, from one pixel to eight; thin ones are more frequent."""
    return int(FINER * (1 + 7 * rng.random() ** 2))


def _shape(canvas: Canvas, rng: np.random.Generator, palette: list[Ink]) -> None:
    """A round or a cornered outline, filled, by the ground's colour too, so that it hides what lies behind."""
    corners = int(rng.integers(3, 12))
    radii = rng.uniform(0.5, 1.0, corners) if rng.random() < 0.6 else np.ones(corners)
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    if rng.random() < 0.5:  # round: as many harmonics as there are corners
        fine = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        radii, angles = np.interp(fine, angles, radii, period=2 * np.pi), fine
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii[:, None]
    points = points * rng.uniform(0.4, 1.0, 2) * rng.uniform(0.05, 0.3) * len(canvas)
    outline = [_whole(points + _place(canvas, rng))]
    filled = rng.random() < 0.7
    if filled:
        cv2.fillPoly(canvas, outline, palette[0] if rng.random() < 0.3 else _ink(rng, palette), cv2.LINE_AA)
    if not filled or rng.random() < 0.6:
        cv2.polylines(canvas, outline, True, _ink(rng, palette), _width(rng), cv2.LINE_AA)


def _line(canvas: Canvas, rng: np.random.Generator, palette: list[Ink]) -> None:
    """A line of up to five straight pieces across the drawing."""
    points = np.stack([_place(canvas, rng) for _ in range(rng.integers(2, 7))])
    cv2.polylines(canvas, [_whole(points)], False, _ink(rng, palette), _width(rng), cv2.LINE_AA)


def _rays(canvas: Canvas, rng: np.random.Generator, palette: list[Ink]) -> None:
    """Lines side by side, or from a common centre."""
    count, ink, width = int(rng.integers(3, 12)), _ink(rng, palette), _width(rng)
    centre, length = _place(canvas, rng), rng.uniform(0.1, 0.4) * len(canvas)
    angles = np.linspace(0, rng.uniform(0.5, 2) * np.pi, count, endpoint=False)
    if rng.random() < 0.5:
        angles[:] = angles[-1]
    along = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    apart = np.linspace(0, rng.uniform(0.1, 0.5) * len(canvas), count)[:, None] * along[:1, ::-1] * (-1, 1)
    start = centre + (apart if angles[0] == angles[-1] else along * length * rng.uniform(0, 0.6))
    for one, other in zip(_whole(start), _whole(start + along * length), strict=True):
        cv2.line(canvas, tuple(one.tolist()), tuple(other.tolist()), ink, width, cv2.LINE_AA)


def _letters(canvas: Canvas, rng: np.random.Generator, palette: list[Ink]) -> None:
    """A line of letters and digits."""
    text = "".join(chr(letter) for letter in rng.integers(ord("0"), ord("z") + 1, int(rng.integers(3, 15))))
    font = int(rng.integers(cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX + 1))
    left, bottom = _whole(_place(canvas, rng) * (0.6, 1.0)).tolist()
    scale = rng.uniform(0.5, 3.0) * FINER
    thickness = max(1, int(scale * rng.uniform(0.6, 2.0)))
    mask = np.zeros(canvas.shape[:2], np.uint8)  # OpenCV 5 does not blend the opacity of letters
    cv2.putText(mask, text, (left, bottom), font, scale, OPAQUE, thickness, cv2.LINE_AA)
    share = mask[..., None].astype(np.float32) / OPAQUE
    canvas[:] = np.rint(canvas * (1 - share) + share * _ink(rng, palette))


def _place(canvas: Canvas, rng: np.random.Generator) -> Any:
    """Any point of a canvas, (2,): x, y."""
    return rng.random(2) * len(canvas)


def _whole(points: Any) -> Any:
    return np.rint(points).astype(np.int32)
