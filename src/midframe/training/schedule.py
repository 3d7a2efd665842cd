"""What changes in the course of a run: learning rate, crop size and weight of flow supervision."""

import math

from midframe.training.config import TrainConfig


def fraction_done(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the fraction of the run that is done, by steps or by time."""
    return seconds / 60 / config.minutes if config.minutes else step / config.steps


def learning_rate(config: TrainConfig, step: int, done: float) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine decay to 0.

    Args:
        config: settings of the run.
        step: number of the step, from 0.
        done: fraction of the run that is done, from 0 to 1.
    """
    warm_up = min(1.0, (step + 1) / max(1, config.warm_up))
    return config.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def crop_size(config: TrainConfig, done: float) -> int:
    """Return the height and width of crops in pixels when a fraction of the run is done."""
    return next(size for start, size in reversed(config.crops) if done >= start)


def supervision_weight(config: TrainConfig, done: float) -> float:
    """Return the weight of flow supervision when a fraction of the run is done."""
    if config.flow_supervision == 0:
        return 0.0
    return config.flow_supervision * max(0.0, 1 - done / config.flow_supervision_fraction)
