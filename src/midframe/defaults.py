"""Defaults that both the options and the networks read."""

DEFAULT_MODEL = "flowsep"
"""The network that interpolates if none is named."""
