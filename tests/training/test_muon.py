import pytest
import torch

from midframe.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonalisation_equalises_the_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, values, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = (
        left * torch.linspace(1, 0.05, len(values)) @ right
    )  # with singular values from 0.05 to 1
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert 0.6 < values.min() < values.max() < 1.3
    torch.testing.assert_close(orthogonalise(matrix), left @ right, atol=0.35, rtol=0)


def test_steps_equal_those_of_muon_and_adamw_of_pytorch() -> None:
    torch.manual_seed(0)
    weights, reference_weights = (
        [torch.nn.Parameter(value.clone()) for value in values] for values in 2 * [_some_weights()]
    )
    options = {"lr": 1e-2, "weight_decay": 0.1}
    muon = Muon(weights, **options)
    references = [
        torch.optim.Muon(
            reference_weights[:1], momentum=0.95, adjust_lr_fn="match_rms_adamw", **options
        ),
        torch.optim.AdamW(reference_weights[1:], **options),
    ]
    for _ in range(5):
        for weight, reference in zip(weights, reference_weights, strict=True):
            weight.grad = torch.randn_like(weight)
            reference.grad = weight.grad.clone()
        muon.step()
        for optimiser in references:
            optimiser.step()
    for weight, reference in zip(weights, reference_weights, strict=True):
        torch.testing.assert_close(
            weight, reference, atol=2e-4, rtol=0
        )  # a step in bfloat16 has a relative error of about 1 %


def test_convolution_weights_are_flattened_in_any_memory_format() -> None:
    torch.manual_seed(0)
    weights = torch.randn(6, 4, 3, 3)
    gradient = torch.randn_like(weights)
    results = []
    for start in (
        weights,
        weights.flatten(1),
        weights.contiguous(memory_format=torch.channels_last),
    ):
        parameter = torch.nn.Parameter(start.clone())
        parameter.grad = gradient.view(start.shape).clone(memory_format=torch.preserve_format)
        Muon([parameter], lr=0.1).step()
        results.append(parameter.detach().reshape(weights.shape))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_layer_gains_are_limited() -> None:
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(12, 30) / 30**0.5)  # a gain of 1
    vector = torch.nn.Parameter(torch.zeros(12))
    muon = Muon([matrix, vector], lr=0.3, max_layer_gain=1.3)
    gains = []
    for _ in range(20):
        matrix.grad, vector.grad = -torch.ones_like(matrix), -torch.ones_like(vector)
        muon.step()
        gains.append(float(matrix.detach().norm()) / 12**0.5)
    assert gains[0] < 1.2, "a step that stays below the limit is not changed"
    assert gains[-1] == pytest.approx(1.3)
    assert float(vector.detach().min()) > 5, "vectors have no limit"


def _some_weights() -> list[torch.Tensor]:
    return [torch.randn(12, 30), torch.randn(12)]
