"""Settings of a training that takes seconds."""

from pathlib import Path

from midframe.training.config import TrainConfig, config_from


def toy(dataset: Path, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "dataset": str(dataset),
        "network": {"widths": [8, 8, 16], "taps": 9},
        "steps": 12,
    }
    settings |= {
        "batch": 4,
        "crops": [[0.0, 48]],
        "warm_up": 2,
        "evaluate_every": 6,
        "precision": "32-true",
        "workers": 0,
    }
    return config_from(
        {**settings, "learning_rate": 4e-3, "max_shift": 4, "shuffle_channels": 0.0, **changes}
    )
