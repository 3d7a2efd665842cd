"""Former names in weight files and settings, so that those written before stay readable."""

from collections.abc import Mapping
from typing import Any

SETTING_ALIASES = {
    "flowsep": {
        "both_ways": "bidirectional_levels",
        "neighbours": "propagation_distance",
    },
}
"""Present names of settings by network and former name."""


def rename_settings(network: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's settings under the names that they have now.

    Args:
        network: its name in `NETWORKS`.
        settings: of the network, under former or present names.

    Raises:
        ValueError: a setting is given under both names.

    Examples:
        >>> rename_settings("flowsep", {"both_ways": 2})
        {'bidirectional_levels': 2}
    """
    aliases = SETTING_ALIASES.get(network, {})
    for old, new in aliases.items():
        if old in settings and new in settings:
            raise ValueError(f"{old} is the former name of {new}: give {new} alone")
    return {aliases.get(name, name): value for name, value in settings.items()}
