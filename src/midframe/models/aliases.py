"""Former names in weight files and settings, so that those written before stay readable."""

from collections.abc import Mapping
from typing import Any

FORM_ALIASES = {
    "flowsep": {
        "both_ways": "bidirectional_levels",
        "neighbours": "propagation_distance",
    },
}
"""For each network the former names of its settings, with the names that they have now."""


def rename_form(network: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's settings under the names that they have now.

    Args:
        network: its name in `NETWORKS`.
        form: settings under former or present names.

    Raises:
        ValueError: a setting is given under both names.

    Examples:
        >>> rename_form("flowsep", {"both_ways": 2})
        {'bidirectional_levels': 2}
    """
    aliases = FORM_ALIASES.get(network, {})
    for old, new in aliases.items():
        if old in form and new in form:
            raise ValueError(f"{old} is the former name of {new}: give {new} alone")
    return {aliases.get(name, name): value for name, value in form.items()}
