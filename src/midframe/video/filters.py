"""What the users of FFmpeg's filters share."""

from collections.abc import Iterator
from typing import Any

import av


def pulled(end: Any) -> Iterator[Any]:
    """All frames that a graph has ready at its end."""
    while True:
        try:
            frame = end.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame
