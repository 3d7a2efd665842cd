"""Downsampling of large frames by averaging."""
