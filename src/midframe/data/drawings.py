"""Render sequences of drawings: flat colours, outlines, lines and text, as in animation.

Camera footage contains few of them. Every sequence is a new drawing whose layers move by known
motions.
"""

from typing import Any

import cv2
import numpy as np

from midframe.data.photographs import MARGIN, SyntheticMotion, render_motion
from midframe.data.shards import Frames

SUPERSAMPLING = 2
"""Drawings are rendered at this multiple of the size, then downscaled, for antialiased edges."""
OPAQUE = 255

Canvas = np.ndarray[Any, np.dtype[np.uint8]]
"""(H, W, 4): red, green, blue, alpha; (0, 0, 0, 0) where nothing is drawn."""
Colour = tuple[int, int, int, int]


def render_drawing(
    rng: np.random.Generator, size: int, frames: int, motion: SyntheticMotion
) -> Frames:
    """Render a sequence of a background and one to three layers in front, each with its own motion.

    Args:
        rng: random generator.
        size: height and width of the result in pixels.
        frames: number of frames, odd; the middle frame is the unmoved drawing.
        motion: limits of the random motion; `foreground_probability` is not used.

    Returns:
        RGB uint8, (F, size, size, 3).
    """
    side = (size + 2 * MARGIN) * SUPERSAMPLING
    palette = _choose_palette(rng)
    times = np.linspace(-1, 1, frames)
    sequence: Any = None
    for layer in range(rng.integers(2, 5)):
        canvas = np.zeros((side, side, 4), np.uint8)
        if layer == 0:
            canvas[:] = palette[0]
        for _ in range(rng.integers(2, 9) if layer == 0 else rng.integers(1, 4)):
            draw = rng.choice(
                np.array([_draw_shape, _draw_shape, _draw_polyline, _draw_rays, _draw_text], object)
            )
            draw(canvas, rng, palette)
        small = cv2.resize(
            canvas.astype(np.float32),
            None,
            fx=1 / SUPERSAMPLING,
            fy=1 / SUPERSAMPLING,
            interpolation=cv2.INTER_AREA,
        )
        moved = render_motion(small, rng, size, times, motion)
        # Downscaling and warping leave the colours premultiplied by alpha.
        alpha = moved[..., 3:] / OPAQUE
        sequence = moved[..., :3] if sequence is None else sequence * (1 - alpha) + moved[..., :3]
    return np.asarray(np.rint(sequence).clip(0, 255), np.uint8)


def _choose_palette(rng: np.random.Generator) -> list[Colour]:
    """Return the background colour, then others; half of the backgrounds are black or white."""
    colours = rng.integers(0, 256, (int(rng.integers(3, 7)), 3))
    if rng.random() < 0.5:
        colours[0] = 255 * rng.integers(2)
    if rng.random() < 0.7:
        colours[1] = 255 if colours[0].mean() < 128 else 0
    return [(int(red), int(green), int(blue), OPAQUE) for red, green, blue in colours]


def _choose_colour(rng: np.random.Generator, palette: list[Colour]) -> Colour:
    """Choose a colour other than the background's, most often the second."""
    return palette[1] if rng.random() < 0.4 else palette[int(rng.integers(1, len(palette)))]


def _choose_line_width(rng: np.random.Generator) -> int:
    """Choose a line width from one to eight pixels; thin lines are more frequent."""
    return int(SUPERSAMPLING * (1 + 7 * rng.random() ** 2))


def _draw_shape(canvas: Canvas, rng: np.random.Generator, palette: list[Colour]) -> None:
    """Draw a round or polygonal shape; filled with the background colour, it occludes others."""
    corners = int(rng.integers(3, 12))
    radii = rng.uniform(0.5, 1.0, corners) if rng.random() < 0.6 else np.ones(corners)
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    if rng.random() < 0.5:  # round
        fine = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        radii, angles = np.interp(fine, angles, radii, period=2 * np.pi), fine
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii[:, None]
    points = points * rng.uniform(0.4, 1.0, 2) * rng.uniform(0.05, 0.3) * len(canvas)
    outline = [_to_pixels(points + _choose_point(canvas, rng))]
    filled = rng.random() < 0.7
    if filled:
        cv2.fillPoly(
            canvas,
            outline,
            palette[0] if rng.random() < 0.3 else _choose_colour(rng, palette),
            cv2.LINE_AA,
        )
    if not filled or rng.random() < 0.6:
        cv2.polylines(
            canvas,
            outline,
            True,
            _choose_colour(rng, palette),
            _choose_line_width(rng),
            cv2.LINE_AA,
        )


def _draw_polyline(canvas: Canvas, rng: np.random.Generator, palette: list[Colour]) -> None:
    """Draw a polyline of up to five segments across the canvas."""
    points = np.stack([_choose_point(canvas, rng) for _ in range(rng.integers(2, 7))])
    cv2.polylines(
        canvas,
        [_to_pixels(points)],
        False,
        _choose_colour(rng, palette),
        _choose_line_width(rng),
        cv2.LINE_AA,
    )


def _draw_rays(canvas: Canvas, rng: np.random.Generator, palette: list[Colour]) -> None:
    """Draw parallel lines, or lines from a common centre."""
    count = int(rng.integers(3, 12))
    colour, width = _choose_colour(rng, palette), _choose_line_width(rng)
    centre, length = _choose_point(canvas, rng), rng.uniform(0.1, 0.4) * len(canvas)
    angles = np.linspace(0, rng.uniform(0.5, 2) * np.pi, count, endpoint=False)
    if rng.random() < 0.5:
        angles[:] = angles[-1]
    along = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    apart = (
        np.linspace(0, rng.uniform(0.1, 0.5) * len(canvas), count)[:, None]
        * along[:1, ::-1]
        * (-1, 1)
    )
    start = centre + (apart if angles[0] == angles[-1] else along * length * rng.uniform(0, 0.6))
    for one, other in zip(_to_pixels(start), _to_pixels(start + along * length), strict=True):
        cv2.line(canvas, tuple(one.tolist()), tuple(other.tolist()), colour, width, cv2.LINE_AA)


def _draw_text(canvas: Canvas, rng: np.random.Generator, palette: list[Colour]) -> None:
    """Draw a line of letters and digits."""
    text = "".join(
        chr(letter) for letter in rng.integers(ord("0"), ord("z") + 1, int(rng.integers(3, 15)))
    )
    font = int(rng.integers(cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX + 1))
    left, bottom = _to_pixels(_choose_point(canvas, rng) * (0.6, 1.0)).tolist()
    scale = rng.uniform(0.5, 3.0) * SUPERSAMPLING
    thickness = max(1, int(scale * rng.uniform(0.6, 2.0)))
    mask = np.zeros(canvas.shape[:2], np.uint8)  # OpenCV 5 does not blend the alpha of text
    cv2.putText(mask, text, (left, bottom), font, scale, OPAQUE, thickness, cv2.LINE_AA)
    alpha = mask[..., None].astype(np.float32) / OPAQUE
    canvas[:] = np.rint(canvas * (1 - alpha) + alpha * _choose_colour(rng, palette))


def _choose_point(canvas: Canvas, rng: np.random.Generator) -> Any:
    """Choose a point of a canvas, (2,): x, y."""
    return rng.random(2) * len(canvas)


def _to_pixels(points: Any) -> Any:
    return np.rint(points).astype(np.int32)
