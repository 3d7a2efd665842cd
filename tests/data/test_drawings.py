"""Rendered drawings."""

import numpy as np
import pytest

from midframe.data import drawings
from midframe.data.drawings import render_drawing
from midframe.data.photographs import SyntheticMotion


def test_a_drawing_is_static_without_motion_and_moves_with_it() -> None:
    static, moving = (
        render_drawing(np.random.default_rng(4), 96, 5, motion)
        for motion in (SyntheticMotion(max_shift=0, max_distortion=0), SyntheticMotion())
    )
    assert static.shape == moving.shape == (5, 96, 96, 3)
    assert (static == static[2]).all()
    assert np.array_equal(moving[2], static[2])
    steps = abs(np.diff(moving.astype(float), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 1


def test_the_edges_of_layers_have_no_colour_fringes(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = (120, 130, 140, 255)
    monkeypatch.setattr(drawings, "_choose_palette", lambda rng: [grey] * 3)
    for seed in range(5):
        sequence = render_drawing(np.random.default_rng(seed), 96, 3, SyntheticMotion())
        assert abs(sequence.astype(int) - grey[:3]).max() <= 4
