import pytest
import torch
from torch import nn

from midframe.models.winograd import TILE, WinogradConvolution, transforms


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_row_of_outputs_comes_from_products_of_values(size: int) -> None:
    torch.manual_seed(0)
    from_kernel, from_features, to_outputs = transforms(size)
    taps, row = torch.randn(size, dtype=torch.float64), torch.randn(TILE + size - 1, dtype=torch.float64)
    expected = torch.stack([row[place : place + size] @ taps for place in range(TILE)])
    made = to_outputs @ ((from_kernel @ taps) * (from_features @ row))
    torch.testing.assert_close(made, expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("shape", [(8, 8), (3, 3), (4, 11), (19, 6), (6, 5)])
@pytest.mark.parametrize("size", [3, 4])
def test_it_equals_the_plain_convolution(size: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(32, 24, size).requires_grad_(False)
    features = torch.randn(2, 32, shape[0] + size - 1, shape[1] + size - 1)
    made = WinogradConvolution(plain)(features)
    assert made.shape == (2, 24, *shape)
    torch.testing.assert_close(made, plain(features), atol=2e-5, rtol=0)


def test_outputs_smaller_than_a_tile_are_made_the_plain_way() -> None:
    plain = nn.Conv2d(8, 8, 4).requires_grad_(False)
    features = torch.randn(2, 8, 4, 4)
    assert torch.equal(WinogradConvolution(plain)(features), plain(features))


def test_kernels_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="size is 5"):
        WinogradConvolution(nn.Conv2d(2, 2, 5))
