"""Sequences rendered from photographs."""

import numpy as np
from helpers.datasets import noise

from midframe.data.augment import estimate_flow_labels
from midframe.data.photographs import SyntheticMotion, render_moving_patch


def test_photographs_move_symmetrically_about_the_middle_frame() -> None:
    still = noise(480, 480)
    for seed in range(6):
        made = render_moving_patch(
            still,
            np.random.default_rng(seed),
            128,
            3,
            SyntheticMotion(5.0, 1.0, foreground_probability=0.0),
        )
        assert made is not None
        assert made.shape == (3, 128, 128, 3)
        guide = estimate_flow_labels(made)
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there, -back, atol=0.7)
        assert guide.confidence.mean() > 0.8


def test_the_middle_of_moved_photographs_is_untouched() -> None:
    still = noise(480, 480)
    sharp = render_moving_patch(
        still,
        np.random.default_rng(3),
        96,
        3,
        SyntheticMotion(foreground_probability=0.0, max_shift=0, max_distortion=0),
    )
    assert sharp is not None
    assert np.array_equal(sharp[0], sharp[1])
    assert (
        render_moving_patch(still[:100], np.random.default_rng(3), 96, 3, SyntheticMotion()) is None
    )
