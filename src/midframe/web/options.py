"""Options of the page, and the limits of uploads."""

from dataclasses import dataclass

from midframe.errors import OptionError, SourceError

PORT = 7860
KEEP_HOURS = 4.0
"""Hours after which unused files are deleted."""
THE_FILE = "the file"
"""Name of an upload in messages."""
VIDEO, FIRST, SECOND = "video", "first", "second"
"""Inputs of the page."""


@dataclass(frozen=True)
class Limits:
    """Limits of an upload."""

    max_mb: float = 500.0
    """Maximum size of a file in megabytes."""
    max_seconds: float = 600.0
    """Maximum duration of a video."""
    max_pixels: int = 3840 * 2160
    """Maximum width times height."""

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_seconds", "max_pixels"):
            if not getattr(self, name) > 0:
                raise OptionError(f"`{name}` is {getattr(self, name)}: more than 0 is needed")

    @property
    def max_bytes(self) -> int:
        """Return the maximum size of a file in bytes."""
        return int(self.max_mb * 1e6)

    def check_bytes(self, count: int) -> None:
        """Raise a SourceError if a file is too large."""
        if count > self.max_bytes:
            raise SourceError(
                f"{THE_FILE} is larger than {self.max_mb:g} MB: choose a shorter or smaller one"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise a SourceError if frames are too large."""
        if width * height > self.max_pixels:
            raise SourceError(
                f"{THE_FILE} has {width}x{height} pixels: up to {self.max_pixels / 1e6:.1f} "
                "million are allowed here"
            )

    def check_length(self, seconds: float) -> None:
        """Raise a SourceError if a video is too long."""
        if seconds > self.max_seconds:
            raise SourceError(
                f"{THE_FILE} is {seconds:.0f} seconds long: up to {self.max_seconds:g} are "
                "allowed here"
            )
