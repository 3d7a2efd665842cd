"""The network that interpolates where none is named."""

DEFAULT_MODEL = "flowsep"
