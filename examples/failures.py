"""Draw where a network begins to fail: the rendered sample, with more and more motion between its
frames.

python examples/failures.py sepconv picture.jpg

A row for each motion: the average of both frames, the truth, which is known here, what the network
makes, and four times the difference.
"""

import sys

import numpy as np
from before_after import enlarged, side_by_side
from PIL import Image
from render_sample import RATE, picture

import midframe
from midframe.evaluation.measures import average, error_map, measure

MIDDLE = 0.7
"""The time that is made, in seconds of the sample."""
STEPS = (2, 5, 9)
"""Frames of the sample between the two that are given; the ball moves some 6 pixels in one, the
wall not quite 2."""
PART = "85,30,130,130"
"""Left, top, width and height of what is shown."""

if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    model, target = sys.argv[1:]
    interpolator = midframe.Interpolator(model)
    rows = []
    for step in STEPS:
        apart = float(step / RATE / 2)
        first, truth, second = (picture(MIDDLE + side * apart) for side in (-1, 0, 1))
        made = interpolator.interpolate(first, second)
        values = [measure(truth, each).psnr for each in (made, average(first, second))]
        print(f"{step} frames apart: {values[0]:.2f} dB, average {values[1]:.2f} dB")
        shown = (average(first, second), truth, made, error_map(truth, made))
        rows.append(side_by_side([enlarged(each, PART) for each in shown]))
    Image.fromarray(np.concatenate(rows)).save(target)
