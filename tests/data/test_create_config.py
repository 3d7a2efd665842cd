"""Settings of a dataset."""

import pytest

from midframe.data.create_config import CreateConfig


def test_invalid_settings_are_refused() -> None:
    wrong_values = ({"frames": 4}, {"frames": 1}, {"strides": (0,)}, {"per_clip": 0})
    for wrong in wrong_values:
        with pytest.raises(
            ValueError, match=str(next(iter(wrong.values()))).strip("()").split(",")[0]
        ):
            CreateConfig(**wrong)
