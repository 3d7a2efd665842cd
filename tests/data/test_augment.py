"""Augmentation of samples."""

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from helpers.datasets import moving, noise

from midframe.data.augment import augment, estimate_flow_labels


def test_the_same_random_state_gives_the_same_crop() -> None:
    frames = np.stack(moving(2))
    crops = [augment(frames, np.random.default_rng(5), 64, 8) for _ in range(2)]
    assert np.array_equal(*crops)
    assert crops[0].shape == (3, 64, 64, 3)
    assert not np.array_equal(crops[0], augment(frames, np.random.default_rng(6), 64, 8))


def test_shifts_of_the_outer_frames_are_opposite() -> None:
    static = np.stack([noise()[:120, :120]] * 3)
    shifts = set()
    for seed in range(40):
        crop = augment(static, np.random.default_rng(seed), 64, 8)
        labels = estimate_flow_labels(crop)
        forward, backward = (np.median(labels.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(forward, -backward, atol=0.6), seed
        shifts.add(tuple(np.rint(forward).astype(int)))
    assert len(shifts) > 8
    assert (0, 0) in shifts


@pytest.mark.parametrize("time", [Fraction(1, 4), Fraction(2, 3), Fraction(1, 6)])
def test_shifts_are_proportional_to_the_time_of_the_middle_frame(time: Fraction) -> None:
    static = np.stack([noise()[:120, :120]] * 3)
    shifts = set()
    for seed in range(30):
        labels = estimate_flow_labels(
            augment(static, np.random.default_rng(seed), 80, 3, time=time)
        )
        forward, backward = (np.median(labels.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(forward * float(1 - time), -backward * float(time), atol=0.5), seed
        shifts.add(tuple(np.rint(forward - backward).astype(int)))
    assert len(shifts) > 4


def test_all_flips_and_rotations_occur() -> None:
    frames = np.stack([np.full((32, 32, 3), 20 * index, np.uint8) for index in range(3)])
    frames[:, :16, :16] += 100
    crops = {augment(frames, np.random.default_rng(seed), 32, 0).tobytes() for seed in range(200)}
    assert len(crops) == 4  # the bright corner is in one of four places


def test_flow_labels_have_high_confidence_where_they_match_the_frame() -> None:
    frames = np.stack(moving(4))
    good = estimate_flow_labels(frames)
    frames[2] = 255 - frames[2]
    bad = estimate_flow_labels(frames)
    assert good.confidence.mean() > 0.8
    assert bad.confidence[1].mean() < 0.3
    assert json.dumps(good.flows.shape) == "[2, 2, 120, 120]"


def test_channels_are_shuffled_alike_in_all_frames() -> None:
    frames = np.zeros((3, 32, 32, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    crops = [
        augment(frames, np.random.default_rng(seed), 32, 0, shuffle_channels=1.0)
        for seed in range(60)
    ]
    assert {tuple(crop[0, 0, 0]) for crop in crops} == set(itertools.permutations((10, 20, 30)))
    assert all(np.array_equal(crop[0], crop[2]) for crop in crops)


@pytest.mark.parametrize("time", [Fraction(1, 2), Fraction(1, 4)])
def test_fades_are_linear_in_time_and_change_the_brightness(time: Fraction) -> None:
    static = np.stack([noise()[:32, :32]] * 3)
    steps = []
    for seed in range(60):
        first, between, second = augment(
            static, np.random.default_rng(seed), 32, 0, fades=1.0, time=time
        ).astype(float)
        assert np.abs(between - (first + float(time) * (second - first))).max() <= 1.0, (
            seed
        )  # rounding
        steps.append(second.mean() - first.mean())
    assert min(steps) < -40
    assert max(steps) > 40
