"""The extras of the package: optional libraries by purpose."""

EXTRAS = {
    "train": ("lightning", "webdataset", "cv2", "tensorboard"),
    "export": ("onnx", "onnxscript"),
    "web": ("gradio", "fastapi", "starlette", "uvicorn"),
    "heic": ("pi_heif",),
    "cluster": ("ray", "fsspec", "s3fs"),
}
"""Libraries of each extra, by the names that Python imports."""


def extra_of(library: str) -> str | None:
    """Return the extra that installs a library; None if none does."""
    return next((extra for extra, libraries in EXTRAS.items() if library in libraries), None)
