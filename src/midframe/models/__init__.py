"""The networks, their interface and their weights."""
