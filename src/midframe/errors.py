"""The errors that midframe raises for files, settings and data it cannot use.

    MidframeError
    ├── VideoError        a video or picture that cannot be read or written
    │   ├── SourceError   the video itself is damaged or unusable: a retry would fail again
    │   └── BusyError     another process works on the same result
    ├── CheckpointError   weights that are missing, damaged or of another network, or whose results
    │                     are not finite
    ├── DatasetError      a dataset or a folder of videos that cannot be used
    ├── ConfigError       settings with an unknown name or a wrong type
    ├── TrainingError     a training whose loss is not finite
    └── ClusterError      a cluster that cannot be used, or whose workers are lost again and again

Wrong arguments in Python calls raise a ValueError; MidframeErrors are for files, settings and data.
`OptionError` is the ValueError for options that users set. The command line prints these errors as
one line and exits with status 1; every other exception is reported as a bug of midframe.
"""

import re

NO_MEMORY = ("not enough memory", "out of memory")
"""Texts that identify PyTorch's errors for a lack of memory."""


class MidframeError(Exception):
    """The parent of every error that midframe raises about files, data and settings."""


OPTION_NAME = re.compile(r"`(\w+)`")


class OptionError(ValueError):
    """An option has an invalid value; the text states the given value and the allowed ones.

    Option names are in backticks in the argument, and without them in the text.
    """

    def __str__(self) -> str:
        return OPTION_NAME.sub(r"\1", super().__str__())

    @property
    def command_line_text(self) -> str:
        """Return the text with command-line option names: --cut-threshold for cut_threshold."""
        return OPTION_NAME.sub(lambda match: f"--{match[1].replace('_', '-')}", super().__str__())


class VideoError(MidframeError):
    """A video or a picture cannot be read or written."""


class SourceError(VideoError):
    """A video is damaged, cut short, or no video: trying again would fail again."""


class BusyError(VideoError):
    """Another process works on the same result."""


class CheckpointError(MidframeError):
    """Weights are missing, damaged or belong to another network, or their results are not
    finite."""


class DatasetError(MidframeError):
    """A dataset, or a folder of videos to make one from, cannot be used."""


class ConfigError(MidframeError):
    """Settings hold an unknown name or a value of the wrong type."""


class TrainingError(MidframeError):
    """A training cannot continue: its loss is not finite."""


class ClusterError(MidframeError):
    """A cluster cannot be reached, has no room for a worker, or loses its workers again and
    again."""


def lacks_memory(error: Exception) -> bool:
    """Return whether an error reports a lack of memory."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY)
