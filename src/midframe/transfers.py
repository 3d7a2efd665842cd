"""Copies of tensors between main memory and a device.

On a GPU they run on streams of their own, from and to page-locked memory, while the GPU
computes. Other devices copy as PyTorch does.
"""

from functools import cache

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor from main memory to a device. Returns before a GPU has copied it; the
    caller's stream waits for the copy."""
    device = torch.device(device)
    if device.type != "cuda":
        return tensor.to(device)
    stream = _stream(device, "upload")
    with torch.cuda.stream(stream):
        copied = tensor.pin_memory().to(device, non_blocking=True)
    consumer = torch.cuda.current_stream(device)
    consumer.wait_stream(stream)
    copied.record_stream(consumer)  # its memory is not reused before the caller's work is done
    return copied


def download(tensor: Tensor) -> Tensor:
    """Copy a tensor to main memory after the work that the caller's stream has queued; the result
    is complete on return."""
    if not tensor.is_cuda:
        return tensor.cpu()
    stream = _stream(tensor.device, "download")
    stream.wait_stream(torch.cuda.current_stream(tensor.device))
    with torch.cuda.stream(stream):
        copied = torch.empty_like(tensor, device="cpu", pin_memory=True)
        copied.copy_(tensor, non_blocking=True)
    tensor.record_stream(stream)
    stream.record_event().synchronize()
    return copied


@cache
def _stream(device: torch.device, direction: str) -> torch.cuda.Stream:
    """Return the stream for one direction: a copy that waits for results must not hold up the next
    frames."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
