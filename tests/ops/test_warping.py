"""Backward warping: known values."""

import math

import torch

from midframe.ops.warping import warp


def test_integer_flows_shift_the_frame_and_edges_are_replicated() -> None:
    features = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(2, 2, 4, 5)
    rows, columns = torch.arange(4) - 1, torch.arange(5) + 2
    expected = features[:, :, rows.clamp(0, 3)][..., columns.clamp(0, 4)]
    torch.testing.assert_close(warp(features, flow), expected)


def test_fractional_flows_interpolate_bilinearly_in_float32() -> None:
    features = torch.tensor([[0.0, 8.0], [16.0, 24.0]]).view(1, 1, 2, 2).bfloat16()
    flow = torch.zeros(1, 2, 2, 2, dtype=torch.bfloat16)
    flow[:, 0, 0, 0], flow[:, 1, 0, 0] = 0.25, 0.5
    result = warp(features, flow)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.flatten(), torch.tensor([10.0, 8.0, 16.0, 24.0]))


def test_positions_are_exact_beyond_the_integers_of_bfloat16() -> None:
    for size in ((1, 600), (600, 1)):
        features, flow = torch.rand(1, 1, *size), torch.zeros(1, 2, *size).bfloat16()
        torch.testing.assert_close(warp(features, flow), features, atol=1e-3, rtol=0)


def test_warping_runs_on_the_device_of_its_inputs() -> None:
    features = torch.zeros(1, 3, 4, 5, device="meta")
    result = warp(features, torch.zeros(1, 2, 4, 5, device="meta"))
    assert (result.device, result.shape) == (features.device, features.shape)


def test_a_flow_that_is_not_finite_does_not_crash_the_gradient() -> None:
    features = torch.rand(1, 1, 4, 40, requires_grad=True)
    flow = torch.full((1, 2, 4, 40), math.nan)
    flow[..., 20:] = math.inf
    flow.requires_grad_()
    warp(features, flow).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
