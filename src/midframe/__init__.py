"""midframe interpolates frames, in videos and between images.

import midframe
middle = midframe.interpolate(first, second)                    # uint8 (H, W, 3) in and out
midframe.interpolate_video("in.mp4", "out.mp4", factor=2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from midframe.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    MidframeError,
    TrainingError,
    VideoError,
)

if TYPE_CHECKING:
    from midframe.api import interpolate
    from midframe.data.layouts import find_scenes
    from midframe.evaluation.report import evaluate
    from midframe.interpolator import Interpolator
    from midframe.models.checkpoint import load_model, register_network
    from midframe.models.shipped import list_models
    from midframe.video.pipeline import interpolate_video

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "Interpolator",
    "MidframeError",
    "TrainingError",
    "VideoError",
    "__version__",
    "evaluate",
    "find_scenes",
    "interpolate",
    "interpolate_video",
    "list_models",
    "load_model",
    "register_network",
]

_LAZY_IMPORTS = {
    "Interpolator": "interpolator",
    "evaluate": "evaluation.report",
    "find_scenes": "data.layouts",
    "interpolate": "api",
    "interpolate_video": "video.pipeline",
    "list_models": "models.shipped",
    "load_model": "models.checkpoint",
    "register_network": "models.checkpoint",
}
"""Module of each public name, imported on first use, so that training works without FFmpeg."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"midframe.{_LAZY_IMPORTS[name]}"), name)
