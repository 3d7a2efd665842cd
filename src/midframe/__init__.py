"""midframe makes the frames between the frames.

import midframe
middle = midframe.interpolate(first, second)                    # uint8 (H, W, 3) in and out
midframe.interpolate_video("in.mp4", "out.mp4", factor=2)
"""

from midframe.api import interpolate
from midframe.errors import CheckpointError, ConfigError, DatasetError, MidframeError, VideoError
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import list_models, load_model
from midframe.video.pipeline import interpolate_video

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "Interpolator",
    "MidframeError",
    "VideoError",
    "__version__",
    "interpolate",
    "interpolate_video",
    "list_models",
    "load_model",
]
