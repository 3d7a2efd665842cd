"""The errors that midframe raises for files, settings and data it cannot use.

    MidframeError
    ├── VideoError        a video or picture that cannot be read or written
    │   └── SourceError   the video itself is at fault, so that trying again would fail again
    ├── CheckpointError   weights that are missing, damaged or of another network
    ├── DatasetError      a data set or a folder of videos that cannot be used
    ├── ConfigError       settings with an unknown name or a wrong type
    └── TrainingError     a training that cannot go on: its loss is no number

A wrong argument in a call from Python is a ValueError; these are for what lies outside the program. The command line
prints their text as one line and ends with status 1.
"""


class MidframeError(Exception):
    """The parent of every error that midframe raises about files, data and settings."""


class VideoError(MidframeError):
    """A video or a picture cannot be read or written."""


class SourceError(VideoError):
    """A video is damaged, cut short, or no video: trying again would fail again."""


class CheckpointError(MidframeError):
    """Weights are missing, damaged or belong to another network."""


class DatasetError(MidframeError):
    """A data set, or a folder of videos to make one from, cannot be used."""


class ConfigError(MidframeError):
    """Settings hold an unknown name or a value of the wrong type."""


class TrainingError(MidframeError):
    """A training cannot go on: its loss is no finite number."""
