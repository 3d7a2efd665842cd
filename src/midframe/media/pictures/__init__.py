"""Image files <-> integer arrays."""
