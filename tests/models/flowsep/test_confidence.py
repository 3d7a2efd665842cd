"""Where a frame between two cannot be made, the nearest one is shown."""

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
"""The alignment of areas that differ more than by noise."""


def confidence(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    return confidence_of(alignment(first, second, fields))


def fields(height: int = 24, width: int = 32, share: float = 0.5) -> Tensor:
    """No flow, kernels that change nothing, one share of the first frame everywhere."""
    result = torch.zeros(1, LAYOUT.channels, height, width)
    result[:, 4 + TAPS // 2 : 4 + 4 * TAPS : TAPS] = 1
    result[:, LAYOUT.mask] = share
    return result


def test_frames_that_agree_are_trusted() -> None:
    frame = torch.rand(1, 3, 24, 32)
    assert confidence(frame, frame + 0.05, fields()).min() == 1


def test_frames_that_disagree_are_not_unless_the_mask_decides() -> None:
    first, second = torch.zeros(1, 3, 24, 32), torch.full((1, 3, 24, 32), 0.5)
    assert confidence(first, second, fields()).max() == 0
    assert confidence(first, second, fields(share=0.98)).min() == 1


def test_agreement_is_looked_for_along_the_flow() -> None:
    first = torch.rand(1, 3, 24, 32)
    second = first.roll(4, 3)
    assert confidence(first, second, fields())[..., 8:-8].mean() < 0.5
    given = fields()
    given[:, 0], given[:, 2] = -2, 2
    assert confidence(first, second, given)[..., 8:-8].min() == 1


def test_trust_passes_over_smoothly() -> None:
    first, second = torch.zeros(2, 1, 3, 24, 64)
    second[..., 32:] = 0.6
    confident = confidence(first, second, fields(24, 64))[0, 0, 12]
    assert confident[0] == 1
    assert confident[-1] == 0
    assert (confident.diff() <= 1e-6).all()
    assert confident.diff().abs().max() < 0.9
    assert ((confident > 0) & (confident < 1)).sum() <= AREA


@pytest.mark.parametrize(("time", "share"), [(0.25, 1.0), (0.5, 1.0), (0.75, 0.0)])
def test_without_trust_the_nearest_frame_is_shown(time: float, share: float) -> None:
    given = torch.randn(1, LAYOUT.channels, 4, 5)
    when = torch.full((1, 1, 1, 1), time)
    none, full = torch.zeros(1, 1, 4, 5), torch.ones(1, 1, 4, 5)
    assert torch.equal(fall_back(given, none, none, when), fields(4, 5, share))
    torch.testing.assert_close(fall_back(given, full, none, when), given)


@pytest.mark.parametrize("time", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("confident", [0.0, 0.5, 1.0])
def test_still_areas_show_the_mean_of_both_frames_by_time(time: float, confident: float) -> None:
    given = torch.randn(1, LAYOUT.channels, 4, 5)
    when, full = torch.full((1, 1, 1, 1), time), torch.ones(1, 1, 4, 5)
    assert torch.equal(fall_back(given, confident * full, full, when), fields(4, 5, 1 - time))


def test_equal_frames_are_still_wherever_flows_lead() -> None:
    given = 20 * torch.randn(1, LAYOUT.channels, 8, 12)
    assert static_weight(torch.zeros(1, 1, 8, 12), DIFFERENT, given).min() == 1
    assert static_weight(torch.full((1, 1, 8, 12), 0.4 / 255), DIFFERENT, given).min() == 1
    assert static_weight(torch.full((1, 1, 8, 12), 3 / 255), DIFFERENT, given).max() == 0


def test_something_that_passes_between_two_equal_areas_is_not_still() -> None:
    difference = torch.zeros(1, 1, 8, 40)
    difference[..., 2:8], difference[..., 32:38] = 1, 1  # there before and after
    given = fields(8, 40)
    assert static_weight(difference, DIFFERENT, given)[0, 0, 4, 20] == 1
    given[:, 0, :, 20], given[:, 2, :, 20] = -15, 15  # here at the time between
    still = static_weight(difference, DIFFERENT, given)[0, 0, 4]
    assert still[19:22].tolist() == [
        0,
        0,
        0,
    ]  # neighbours too, for fields are interpolated between them
    assert still[[16, 24]].tolist() == [1, 1]


def test_stillness_passes_over_smoothly() -> None:
    levels = torch.linspace(0, 4 / 255, 401).view(1, 1, 1, -1)
    still = static_weight(levels, DIFFERENT, torch.zeros(1, LAYOUT.channels, 1, 401)).flatten()
    assert still[0] == 1
    assert still[-1] == 0
    assert (still.diff() <= 0).all()
    assert still.diff().abs().max() < 0.01


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
    different = torch.full((1, 1, 8, 12), largest / 255)
    measures = torch.tensor([0, along_flows, in_place]).view(1, MEASURES, 1, 1) / 255
    given = fields(8, 12)
    given[:, 1], given[:, 3] = -motion / 2, motion / 2
    assert (static_weight(different, measures, given) == expected).all()


def test_noise_leaves_static_areas_sharp() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(1, 3, 96, 128, generator=generator) * 0.6 + 0.2
    first, second = (
        clean + 2 / 255 * torch.randn(clean.shape, generator=generator) for _ in range(2)
    )
    with torch.no_grad():
        made = load_model("flowsep")(first, second)
    torch.testing.assert_close(made, (first + second) / 2, atol=0.5 / 255, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 2), height=st.integers(1, 24), width=st.integers(1, 40), inner=st.booleans()
)
def test_halide_equals_the_plain_form(n: int, height: int, width: int, inner: bool) -> None:
    first, second = torch.rand(2, n, 3, height, width)
    given = torch.rand(n, LAYOUT.channels, height, width)
    given[:, :4] = 12 * torch.randn(n, 4, height, width)
    if inner:
        first, second = (
            frame.contiguous(memory_format=torch.channels_last) for frame in (first, second)
        )
    with torch.no_grad():
        made = select_steps(first).alignment(first, second, given)
    torch.testing.assert_close(made, alignment(first, second, given), atol=1e-4, rtol=1e-4)
