"""Muon and AdamW as a sequence of device operations without host synchronisation, so that CUDA graphs hold them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from midframe.training.muon import LIKE_ADAM, NEWTON_SCHULZ, ROUNDS, TINY

MOMENTUM, BETAS = 0.95, (0.9, 0.999)
MAX_NORM = 1.0
"""The gradient is scaled down to this norm at most; a step whose gradient is not finite changes nothing."""
ROW_MULTIPLE = 32
"""Matrices are filled up with zeros to a few common shapes, so that many are multiplied at once."""


class GraphedMuon:
    """Orthogonalised momentum for weights of convolutions, AdamW for biases, and a moving average.

    The same steps as `midframe.training.muon.Muon`, many matrices at once (its references there).

    Args:
        model: whose parameters are learnt; their gradients must exist.
        weight_decay: share of the weights, times the learning rate, that a step takes away.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        self.parameters = list(model.parameters())
        device = self.parameters[0].device
        self.matrices = [weights for weights in self.parameters if weights.ndim > 1]
        self.vectors = [weights for weights in self.parameters if weights.ndim <= 1]
        self.average = [weights.detach().clone() for weights in self.parameters]
        self.momentum = [torch.zeros_like(weights) for weights in self.matrices]
        self.mean = [torch.zeros_like(weights) for weights in self.vectors]
        self.square = [torch.zeros_like(weights) for weights in self.vectors]
        self.count = torch.zeros((), device=device)
        self.rate = torch.zeros((), device=device)
        """Learning rate; filled in before each step."""
        self.decay = torch.ones((), device=device)
        """Of the moving average; filled in before each step."""
        self.weight_decay = weight_decay
        self.groups = _groups(self.matrices)

    @torch.no_grad()
    def step(self) -> None:
        """Learn from the gradients and clear them."""
        gradients = [weights.grad for weights in self.parameters if weights.grad is not None]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        scale = torch.where(norm.isfinite(), (MAX_NORM / (norm + 1e-6)).clamp(max=1), 0.0)
        for gradient in gradients:
            gradient.nan_to_num_(0, 0, 0)
        torch._foreach_mul_(gradients, scale)
        self.count += 1
        torch._foreach_mul_(self.parameters, 1 - self.rate * self.weight_decay)
        self._step_vectors()
        self._step_matrices()
        torch._foreach_zero_(gradients)
        apart = torch._foreach_sub(self.parameters, self.average)
        torch._foreach_mul_(apart, 1 - self.decay)
        torch._foreach_add_(self.average, apart)

    def _step_vectors(self) -> None:
        gradients = [weights.grad for weights in self.vectors]
        first, second = BETAS
        torch._foreach_lerp_(self.mean, gradients, 1 - first)
        torch._foreach_mul_(self.square, second)
        torch._foreach_addcmul_(self.square, gradients, gradients, 1 - second)
        divisor = torch._foreach_sqrt(self.square)
        torch._foreach_div_(divisor, (1 - second**self.count).sqrt())
        torch._foreach_add_(divisor, TINY)
        change = torch._foreach_div(self.mean, divisor)
        torch._foreach_mul_(change, -self.rate / (1 - first**self.count))
        torch._foreach_add_(self.vectors, change)

    def _step_matrices(self) -> None:
        gradients = [weights.grad for weights in self.matrices]
        torch._foreach_lerp_(self.momentum, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, self.momentum, MOMENTUM)  # Nesterov's
        a, b, c = NEWTON_SCHULZ
        for (rows, columns), members in self.groups.items():
            x = self.rate.new_zeros((len(members), rows, columns), dtype=torch.bfloat16)
            for place, number in enumerate(members):
                matrix = _wide(ahead[number])
                scaled = matrix / (matrix.norm() + TINY)
                x[place, : matrix.shape[0], : matrix.shape[1]] = scaled
            for _ in range(ROUNDS):
                square = x @ x.mT
                x = torch.baddbmm(
                    x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a
                )
            for place, number in enumerate(members):
                weights = self.matrices[number]
                height, width = _wide(weights).shape
                change = x[place, :height, :width]
                if height != len(weights):
                    change = change.mT
                change = change.reshape(weights.shape) * (LIKE_ADAM * math.sqrt(max(height, width)))
                weights.sub_((change * self.rate).to(weights.dtype))

    def reset(self) -> None:
        """Forget the steps taken so far."""
        for tensor in self.state().values():
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """Everything beside the weights and their average that a later leg needs."""
        named = {"momentum": self.momentum, "mean": self.mean, "square": self.square}
        state = {
            f"{name}.{number}": tensor
            for name, tensors in named.items()
            for number, tensor in enumerate(tensors)
        }
        return {**state, "count": self.count}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state`."""
        for name, tensor in self.state().items():
            own = (
                self.count
                if name == "count"
                else getattr(self, name.split(".")[0])[int(name.split(".")[1])]
            )
            own.copy_(state[name].to(tensor.device))


def _wide(weights: Tensor) -> Tensor:
    """Weights (out, in, ...) as a matrix with no more rows than columns."""
    matrix = weights.flatten(1)
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _groups(matrices: Sequence[Tensor]) -> dict[tuple[int, int], list[int]]:
    """Numbers of the matrices that are filled up to each shape."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, weights in enumerate(matrices):
        rows, columns = _wide(weights).shape
        shape = (
            -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE,
            max(512, 1 << math.ceil(math.log2(columns))),
        )
        groups.setdefault(shape, []).append(number)
    return groups
