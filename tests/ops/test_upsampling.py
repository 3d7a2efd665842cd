"""Upsampling: known values."""

import torch

from midframe.ops.upsampling import upsample


def test_corners_are_not_aligned() -> None:
    images = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert upsample(images, 2).tolist() == [[[[0, 1, 3, 4], [0, 1, 3, 4]]]]
    assert upsample(images, 4).shape == (1, 1, 4, 8)


def test_a_factor_of_1_returns_the_same_tensor() -> None:
    images = torch.rand(1, 3, 4, 5)
    assert upsample(images, 1) is images
