"""The channels of FlowSep's fields."""

import pytest
import torch

from midframe.models.flowsep.layout import FieldLayout


@pytest.mark.parametrize("taps", [1, 5, 11])
def test_every_channel_has_one_name(taps: int) -> None:
    layout = FieldLayout(taps)
    named = [
        layout.flow_to_first,
        layout.flow_to_second,
        *layout.each_kernel,
        layout.mask,
        layout.residual,
    ]
    channels = list(range(layout.channels))
    assert [channel for part in named for channel in channels[part]] == channels
    groups = [layout.flows, layout.kernels, layout.mask, layout.residual]
    assert [channel for part in groups for channel in channels[part]] == channels
    assert layout.group_sizes == [4, 4 * taps, 1, 3]
    assert layout.channels == 4 + 4 * taps + 4


def test_fields_are_split_by_name() -> None:
    fields = torch.arange(28.0).view(1, 28, 1, 1)
    layout = FieldLayout.of(fields)
    assert layout == FieldLayout(taps=5)
    parts = layout.split(fields)
    assert parts.flow_to_second.flatten().tolist() == [2, 3]
    assert parts.second_vertical.flatten().tolist() == [14, 15, 16, 17, 18]
    assert parts.mask.flatten().tolist() == [24]
    assert parts.residual.flatten().tolist() == [25, 26, 27]
