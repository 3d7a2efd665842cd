"""The channels of the fields of FlowSep."""

import pytest
import torch

from midframe.models.flowsep.layout import FieldLayout


@pytest.mark.parametrize("taps", [1, 5, 11])
def test_the_names_cover_every_channel_exactly_once(taps: int) -> None:
    layout = FieldLayout(taps)
    slices = [
        layout.flow_to_first,
        layout.flow_to_second,
        *layout.each_kernel,
        layout.mask,
        layout.residual,
    ]
    channels = list(range(layout.channels))
    assert [channel for each in slices for channel in channels[each]] == channels
    groups = [layout.flows, layout.kernels, layout.mask, layout.residual]
    assert [channel for each in groups for channel in channels[each]] == channels
    assert layout.group_sizes == [4, 4 * taps, 1, 3]
    assert layout.channels == 4 + 4 * taps + 4


def test_fields_are_split_by_name() -> None:
    fields = torch.arange(28.0).view(1, 28, 1, 1)
    layout = FieldLayout.of(fields)
    assert layout == FieldLayout(taps=5)
    groups = layout.split(fields)
    assert groups.flow_to_second.flatten().tolist() == [2, 3]
    assert groups.second_vertical.flatten().tolist() == [14, 15, 16, 17, 18]
    assert groups.mask.flatten().tolist() == [24]
    assert groups.residual.flatten().tolist() == [25, 26, 27]
