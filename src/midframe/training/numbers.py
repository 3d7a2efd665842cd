"""Ranges of the numbers in settings."""

import math
from collections.abc import Collection, Iterator
from dataclasses import fields
from typing import Any

from midframe.errors import ConfigError


def check_numbers(
    settings: Any,
    *,
    counts: Collection[str] = (),
    fractions: Collection[str] = (),
    positive: Collection[str] = (),
) -> None:
    """Check that every number of a dataclass, in tuples and dicts too, is finite and not negative;
    `network` holds settings that its config checks.

    Args:
        settings: the dataclass.
        counts: fields that must be 1 or more.
        fractions: fields that must be 1 or less.
        positive: fields that must be above 0.

    Raises:
        ConfigError: a number is out of its range; the message names the field.
    """
    for name in (each.name for each in fields(settings) if each.name != "network"):
        for number in _numbers(getattr(settings, name)):
            if name in counts:
                allowed, right = "1 or more", number >= 1
            elif name in fractions:
                allowed, right = "from 0 to 1", 0 <= number <= 1
            else:
                allowed, right = "0 or more", number >= 0
            if name in positive and number == 0:
                allowed, right = f"{allowed}, but not 0", False
            if not (right and math.isfinite(number)):
                raise ConfigError(f"{name} is {number}: it must be {allowed}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, dict):
        yield from _numbers(tuple(value.values()))
