"""Damage of a source: bridged and reported with its time, or refused (`strict`)."""

import logging
from fractions import Fraction
from pathlib import Path

from midframe.errors import SourceError

log = logging.getLogger(__name__)

MAX_PLACES = 100
"""Number of places that are listed; further ones are only counted."""


class Damage:
    """Collects the damaged places of a source.

    Args:
        path: of the source.
        strict: raise a SourceError at the first damaged place.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        self.path = path
        self.strict = strict
        self._places: dict[str, None] = {}
        self._more = 0
        self.times: list[Fraction] = []
        """Known times of the places, in seconds."""

    def add(self, time: Fraction | None, what: str) -> None:
        """Add a damaged place.

        Args:
            time: in seconds of the source; None if it is unknown.
            what: description of the damage.
        """
        place = f"{what} at {'an unknown time' if time is None else f'{float(time):.2f} s'}"
        if self.strict:
            raise SourceError(
                f"{self.path} is damaged: {place}; without --strict the damage is bridged"
            )
        if place in self._places:
            return
        if time is not None:
            self.times.append(time)
        if len(self._places) >= MAX_PLACES:
            self._more += 1
            return
        log.debug("%s: %s", self.path, place)
        self._places[place] = None

    @property
    def places(self) -> tuple[str, ...]:
        """Return the descriptions of all places, each once."""
        return (*self._places, *([f"and {self._more} more places"] if self._more else []))
