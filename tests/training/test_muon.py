import pytest
import torch

from midframe.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_an_orthogonal_step_takes_every_direction_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, values, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = (
        left * torch.linspace(1, 0.05, len(values)) @ right
    )  # some directions are twenty times as strong
    reached = torch.linalg.svdvals(orthogonalise(matrix))
    assert 0.6 < reached.min() < reached.max() < 1.3
    torch.testing.assert_close(orthogonalise(matrix), left @ right, atol=0.35, rtol=0)


def test_matrices_learn_as_with_pytorchs_muon_and_vectors_as_with_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = (
        [torch.nn.Parameter(value.clone()) for value in values] for values in 2 * [_some_weights()]
    )
    options = {"lr": 1e-2, "weight_decay": 0.1}
    muon = Muon(ours, **options)
    others = [
        torch.optim.Muon(theirs[:1], momentum=0.95, adjust_lr_fn="match_rms_adamw", **options),
        torch.optim.AdamW(theirs[1:], **options),
    ]
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        muon.step()
        for optimiser in others:
            optimiser.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            mine, other, atol=2e-4, rtol=0
        )  # a step in bfloat16 is exact to a hundredth


def test_a_convolution_is_a_matrix_of_its_outputs_whatever_its_memory_format() -> None:
    torch.manual_seed(0)
    weights = torch.randn(6, 4, 3, 3)
    gradient = torch.randn_like(weights)
    stepped = []
    for start in (
        weights,
        weights.flatten(1),
        weights.contiguous(memory_format=torch.channels_last),
    ):
        learnt = torch.nn.Parameter(start.clone())
        learnt.grad = gradient.view(start.shape).clone(memory_format=torch.preserve_format)
        Muon([learnt], lr=0.1).step()
        stepped.append(learnt.detach().reshape(weights.shape))
    for other in stepped[1:]:
        torch.testing.assert_close(other, stepped[0])


def test_weights_grow_until_the_largest_gain() -> None:
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(12, 30) / 30**0.5)  # a gain of 1
    vector = torch.nn.Parameter(torch.zeros(12))
    muon = Muon([matrix, vector], lr=0.3, max_layer_gain=1.3)
    gains = []
    for _ in range(20):
        matrix.grad, vector.grad = -torch.ones_like(matrix), -torch.ones_like(vector)
        muon.step()
        gains.append(float(matrix.detach().norm()) / 12**0.5)
    assert gains[0] < 1.2, "a small step from below the limit is as without one"
    assert gains[-1] == pytest.approx(1.3)
    assert float(vector.detach().min()) > 5, "vectors have no limit"


def _some_weights() -> list[torch.Tensor]:
    return [torch.randn(12, 30), torch.randn(12)]
