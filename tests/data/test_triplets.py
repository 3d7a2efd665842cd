"""Selection of patches: texture, motion, duplicates."""

import cv2
import numpy as np
import pytest
from helpers.datasets import Image, moving, noise

from midframe.data.triplets import (
    Selection,
    choose_random_position,
    find_candidates,
    optical_flow,
    warp_error,
)


def test_moving_textured_patches_are_selected_and_their_motion_is_measured() -> None:
    candidates = find_candidates(moving(3), Selection(size=64))
    assert candidates
    assert all(abs(candidate.motion - 6) < 2 for candidate in candidates)


@pytest.mark.parametrize(
    "frames",
    [
        [noise()] * 3,
        moving(30),
        [np.full((120, 120, 3), 90 + 2 * index, np.uint8) for index in range(3)],
        [*moving(3, 2), 255 - moving(3)[2]],
        [frame[:40, :40] for frame in moving(3)],
    ],
    ids=["repeated", "too fast", "flat", "cut", "too small"],
)
def test_unsuitable_sequences_are_dropped(frames: list[Image]) -> None:
    assert find_candidates(frames, Selection(size=64)) == []


def test_optical_flow_measures_a_shift() -> None:
    first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in moving(5, 2))
    flow = optical_flow(first, second)
    assert abs(np.median(flow[..., 0]) + 5) < 0.5
    assert abs(np.median(flow[..., 1])) < 0.5
    assert np.median(warp_error(first, second, flow)) < 2


def test_random_positions_avoid_duplicate_frames_only() -> None:
    rng = np.random.default_rng(0)
    static, moving_frames = [noise()] * 3, moving(3)
    assert choose_random_position(static, 64, Selection(), rng)
    assert choose_random_position(moving_frames, 64, Selection(), rng)
    assert choose_random_position([np.full((80, 80, 3), 90, np.uint8)] * 3, 64, Selection(), rng)
    assert (
        choose_random_position(
            [moving_frames[0], moving_frames[0], moving_frames[2]], 64, Selection(), rng
        )
        is None
    )
    assert choose_random_position(moving_frames, 200, Selection(), rng) is None
