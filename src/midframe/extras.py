"""The extras of the package: optional libraries by purpose."""

EXTRAS = {
    "train": ("lightning", "webdataset", "cv2", "tensorboard"),
    "export": ("onnx", "onnxscript"),
    "web": ("gradio", "fastapi", "starlette", "uvicorn"),
    "heic": ("pi_heif",),
    "cluster": ("ray", "fsspec", "s3fs"),
}
"""Libraries of each extra, by the names that Python imports."""


def extra_of(library: str) -> str:
    """Return the extra that installs a library; "train" installs all that are not listed."""
    return next((extra for extra, libraries in EXTRAS.items() if library in libraries), "train")
