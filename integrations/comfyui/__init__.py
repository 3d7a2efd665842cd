"""Frame interpolation nodes for ComfyUI; link this folder into `ComfyUI/custom_nodes`."""

from .nodes import ConvertFrameRate, InterpolateFrames

NODE_CLASS_MAPPINGS = {
    "MidframeInterpolateFrames": InterpolateFrames,
    "MidframeConvertFrameRate": ConvertFrameRate,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "MidframeInterpolateFrames": "Interpolate Frames (midframe)",
    "MidframeConvertFrameRate": "Convert Frame Rate (midframe)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
