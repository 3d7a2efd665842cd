"""Confidence and static areas: where the confidence is low, the nearest frame is shown."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.checkpoint import load_model
from midframe.models.flowsep.confidence import confidence_of, fall_back, static_weight
from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps import select_steps
from midframe.models.flowsep.steps.alignment.reference import AREA, MEASURES, alignment

TAPS = 3
LAYOUT = FieldLayout(TAPS)
DIFFERENT = torch.ones(1, MEASURES, 1, 1)
"""Alignment measures of areas that differ by more than noise."""


def confidence(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    return confidence_of(alignment(first, second, fields))


def make_fields(height: int = 24, width: int = 32, mask: float = 0.5) -> Tensor:
    """Return fields without flow, with delta kernels and with a constant mask."""
    result = torch.zeros(1, LAYOUT.channels, height, width)
    result[:, 4 + TAPS // 2 : 4 + 4 * TAPS : TAPS] = 1
    result[:, LAYOUT.mask] = mask
    return result


def test_confidence_is_high_where_frames_agree() -> None:
    frame = torch.rand(1, 3, 24, 32)
    assert confidence(frame, frame + 0.05, make_fields()).min() == 1


def test_confidence_is_low_where_frames_differ_unless_the_mask_decides() -> None:
    first, second = torch.zeros(1, 3, 24, 32), torch.full((1, 3, 24, 32), 0.5)
    assert confidence(first, second, make_fields()).max() == 0
    assert confidence(first, second, make_fields(mask=0.98)).min() == 1


def test_frames_are_compared_along_the_flow() -> None:
    first = torch.rand(1, 3, 24, 32)
    second = first.roll(4, 3)
    assert confidence(first, second, make_fields())[..., 8:-8].mean() < 0.5
    predicted = make_fields()
    predicted[:, 0], predicted[:, 2] = -2, 2
    assert confidence(first, second, predicted)[..., 8:-8].min() == 1


def test_confidence_changes_smoothly() -> None:
    first, second = torch.zeros(2, 1, 3, 24, 64)
    second[..., 32:] = 0.6
    confident = confidence(first, second, make_fields(24, 64))[0, 0, 12]
    assert confident[0] == 1
    assert confident[-1] == 0
    assert (confident.diff() <= 1e-6).all()
    assert confident.diff().abs().max() < 0.9
    assert ((confident > 0) & (confident < 1)).sum() <= AREA


@pytest.mark.parametrize(("time", "mask"), [(0.25, 1.0), (0.5, 1.0), (0.75, 0.0)])
def test_the_nearest_frame_is_shown_at_low_confidence(time: float, mask: float) -> None:
    predicted = torch.randn(1, LAYOUT.channels, 4, 5)
    t = torch.full((1, 1, 1, 1), time)
    zeros, ones = torch.zeros(1, 1, 4, 5), torch.ones(1, 1, 4, 5)
    assert torch.equal(fall_back(predicted, zeros, zeros, t), make_fields(4, 5, mask))
    torch.testing.assert_close(fall_back(predicted, ones, zeros, t), predicted)


@pytest.mark.parametrize("time", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("confident", [0.0, 0.5, 1.0])
def test_static_areas_blend_both_frames_by_time(time: float, confident: float) -> None:
    predicted = torch.randn(1, LAYOUT.channels, 4, 5)
    t, ones = torch.full((1, 1, 1, 1), time), torch.ones(1, 1, 4, 5)
    assert torch.equal(fall_back(predicted, confident * ones, ones, t), make_fields(4, 5, 1 - time))


def test_equal_frames_are_static_for_any_flow() -> None:
    predicted = 20 * torch.randn(1, LAYOUT.channels, 8, 12)
    assert static_weight(torch.zeros(1, 1, 8, 12), DIFFERENT, predicted).min() == 1
    assert static_weight(torch.full((1, 1, 8, 12), 0.4 / 255), DIFFERENT, predicted).min() == 1
    assert static_weight(torch.full((1, 1, 8, 12), 3 / 255), DIFFERENT, predicted).max() == 0


def test_an_area_that_an_object_passes_at_the_middle_time_is_not_static() -> None:
    difference = torch.zeros(1, 1, 8, 40)
    difference[..., 2:8], difference[..., 32:38] = 1, 1  # in the first frame and in the second
    predicted = make_fields(8, 40)
    assert static_weight(difference, DIFFERENT, predicted)[0, 0, 4, 20] == 1
    predicted[:, 0, :, 20], predicted[:, 2, :, 20] = -15, 15  # in the middle frame
    weight = static_weight(difference, DIFFERENT, predicted)[0, 0, 4]
    assert weight[19:22].tolist() == [
        0,
        0,
        0,
    ]  # and at its neighbours, since fields are interpolated
    assert weight[[16, 24]].tolist() == [1, 1]


def test_the_static_weight_changes_smoothly() -> None:
    levels = torch.linspace(0, 4 / 255, 401).view(1, 1, 1, -1)
    weight = static_weight(levels, DIFFERENT, torch.zeros(1, LAYOUT.channels, 1, 401)).flatten()
    assert weight[0] == 1
    assert weight[-1] == 0
    assert (weight.diff() <= 0).all()
    assert weight.diff().abs().max() < 0.01


@pytest.mark.parametrize(
    ("along_flows", "in_place", "largest", "motion", "expected"),  # in grey levels, and in pixels
    [
        (1.9, 2.1, 20, 0.3, 1),  # noise
        (1.0, 2.1, 20, 0.3, 0),  # a small motion of details
        (1.9, 2.1, 20, 1.2, 0),  # a motion of flat areas
        (20.0, 20.0, 20, 0.0, 0),  # something appears
        (1.9, 2.1, 90, 0.0, 0),  # something tiny appears
    ],
)
def test_noisy_areas_are_static_unless_they_move_or_something_appears(
    along_flows: float, in_place: float, largest: float, motion: float, expected: int
) -> None:
    difference = torch.full((1, 1, 8, 12), largest / 255)
    measures = torch.tensor([0, along_flows, in_place]).view(1, MEASURES, 1, 1) / 255
    predicted = make_fields(8, 12)
    predicted[:, 1], predicted[:, 3] = -motion / 2, motion / 2
    assert (static_weight(difference, measures, predicted) == expected).all()


def test_noisy_static_areas_are_averaged() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(1, 3, 96, 128, generator=generator) * 0.6 + 0.2
    first, second = (
        clean + 2 / 255 * torch.randn(clean.shape, generator=generator) for _ in range(2)
    )
    with torch.no_grad():
        result = load_model("flowsep")(first, second)
    torch.testing.assert_close(result, (first + second) / 2, atol=0.5 / 255, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 2),
    height=st.integers(1, 24),
    width=st.integers(1, 40),
    channels_last=st.booleans(),
)
def test_halide_equals_the_reference(n: int, height: int, width: int, channels_last: bool) -> None:
    first, second = torch.rand(2, n, 3, height, width)
    predicted = torch.rand(n, LAYOUT.channels, height, width)
    predicted[:, :4] = 12 * torch.randn(n, 4, height, width)
    if channels_last:
        first, second = (
            frame.contiguous(memory_format=torch.channels_last) for frame in (first, second)
        )
    with torch.no_grad():
        result = select_steps(first).alignment(first, second, predicted)
    torch.testing.assert_close(result, alignment(first, second, predicted), atol=1e-4, rtol=1e-4)
