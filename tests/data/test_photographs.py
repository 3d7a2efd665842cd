"""Sequences rendered from photographs."""

import numpy as np
from helpers.datasets import noise

from midframe.data.augment import estimate_flow_labels
from midframe.data.photographs import SyntheticMotion, render_moving_patch


def test_the_rendered_motion_is_symmetric_about_the_middle_frame() -> None:
    photograph = noise(480, 480)
    for seed in range(6):
        patch = render_moving_patch(
            photograph,
            np.random.default_rng(seed),
            128,
            3,
            SyntheticMotion(5.0, 1.0, foreground_probability=0.0),
        )
        assert patch is not None
        assert patch.shape == (3, 128, 128, 3)
        labels = estimate_flow_labels(patch)
        forward, backward = (np.median(labels.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(forward, -backward, atol=0.7)
        assert labels.confidence.mean() > 0.8


def test_without_motion_all_frames_are_identical() -> None:
    photograph = noise(480, 480)
    patch = render_moving_patch(
        photograph,
        np.random.default_rng(3),
        96,
        3,
        SyntheticMotion(foreground_probability=0.0, max_shift=0, max_distortion=0),
    )
    assert patch is not None
    assert np.array_equal(patch[0], patch[1])
    assert (
        render_moving_patch(photograph[:100], np.random.default_rng(3), 96, 3, SyntheticMotion())
        is None
    )
