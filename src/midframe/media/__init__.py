"""Films and pictures as files: read with exact times, written with all that belongs to them.

No networks and no tensors: `midframe.video` and `midframe.data` are built on it.
"""
