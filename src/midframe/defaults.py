"""Defaults that the options and the networks share."""

DEFAULT_MODEL = "flowsep"
"""Name of the default network."""
