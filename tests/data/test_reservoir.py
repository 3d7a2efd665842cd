"""The reservoir of patches of a clip."""

import numpy as np
from helpers.datasets import moving

from midframe.data.reservoir import Patch, Reservoir


def make_patch(key: float, step: int) -> Patch:
    return Patch(key, np.stack(moving(step)), {})


def test_similar_patches_are_kept_only_once() -> None:
    reservoir = Reservoir(3, min_novelty=2.0)
    for key, step in ((1.0, 1), (5.0, 3), (3.0, 1), (2.0, 1), (4.0, 2)):
        reservoir.offer(make_patch(key, step))
    assert sorted(each.key for each in reservoir.patches) == [3.0, 4.0, 5.0]
    reservoir.offer(make_patch(6.0, 6))
    assert sorted(each.key for each in reservoir.patches) == [4.0, 5.0, 6.0]
    assert not reservoir.would_keep(3.5)
