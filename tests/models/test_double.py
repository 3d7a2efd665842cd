"""Networks in float64, as gradient checks need them."""

import pytest
import torch
from helpers.flowsep import TINY

from midframe.models.checkpoint import build_model
from midframe.models.flowsep import FlowSep
from midframe.models.network import Network

NETWORKS = {
    "flowsep": lambda: FlowSep(TINY),
    "sepconv": lambda: build_model("sepconv", {"widths": [4, 8], "taps": 3, "slope": 0.1}),
    "adaconv": lambda: build_model("adaconv", {"widths": [4] * 5, "taps": 3}),
}


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_in_float64(name: str, frames: torch.Tensor) -> None:
    torch.manual_seed(0)
    model: Network = NETWORKS[name]().eval()
    with torch.no_grad():
        single = model(*frames)
        double = model.double()(*frames.double())
    assert double.dtype == torch.float64
    assert (double - double.float()).abs().max() > 0, "the result must be more precise than float32"
    torch.testing.assert_close(double.float(), single, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_networks_pass_gradcheck(name: str, frames: torch.Tensor) -> None:
    torch.manual_seed(0)
    model: Network = NETWORKS[name]().eval().double()
    weights = next(model.parameters())

    def interpolate(weights: torch.Tensor) -> torch.Tensor:
        first, second = frames.double()
        replaced = {next(iter(dict(model.named_parameters()))): weights}
        if isinstance(model, FlowSep):  # the training path
            replaced = {f"model.{key}": value for key, value in replaced.items()}
            return torch.func.functional_call(TrainingForward(model), replaced, (first, second))
        return torch.func.functional_call(model, replaced, (first, second))

    initial = weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(interpolate, initial, fast_mode=True)


class TrainingForward(torch.nn.Module):
    def __init__(self, model: FlowSep) -> None:
        super().__init__()
        self.model = model

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return self.model.synthesise(first, second, self.model.estimate(first, second, 0.5))
