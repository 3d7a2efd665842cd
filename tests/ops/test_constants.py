"""Constants on a device."""

import torch
from torch import Tensor, nn

from midframe.ops.constants import constant

CPU = torch.device("cpu")


def test_a_constant_is_copied_to_a_device_once() -> None:
    with torch.inference_mode():
        cached = constant(((1.0, 2.0), (3.0, 4.0)), CPU)
    assert cached.tolist() == [[1, 2], [3, 4]]
    assert constant(((1.0, 2.0), (3.0, 4.0)), CPU) is cached
    assert constant((1.0, 2.0), torch.device("meta")).device.type == "meta"
    assert not cached.is_inference(), "it must be usable with gradients"


def test_a_constant_of_an_export_is_not_cached() -> None:
    class Sum(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values + constant((5.0, 7.0), values.device)

    exported = torch.export.export(Sum(), (torch.zeros(2),))
    assert exported.module()(torch.ones(2)).tolist() == [6, 8]
    elsewhere = torch.export.export(Sum(), (torch.zeros(2, device="meta"),))
    assert elsewhere.module()(torch.ones(2, device="meta")).is_meta
    cached = constant((5.0, 7.0), CPU)
    assert type(cached) is Tensor
    assert cached.tolist() == [5, 7]
