"""Downsampling of frames by averaging, which is how FlowSep processes large ones."""
