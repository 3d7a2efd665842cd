"""Muon and AdamW without CPU synchronisation, for capture in CUDA graphs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from midframe.training.muon import ADAMW_RMS, EPSILON, iterate_newton_schulz

MOMENTUM = 0.95
BETAS = (0.9, 0.999)
MAX_NORM = 1.0
"""Maximum norm of the gradient; a step with a gradient that is not finite changes nothing."""
ROW_MULTIPLE = 32
"""Matrices are zero-padded to a few common shapes and multiplied in batches."""


class GraphedMuon:
    """Optimise weights of convolutions by Muon, biases by AdamW; average the weights.

    Steps equal those of `midframe.training.muon.Muon` (references there), with matrices in batches.

    Args:
        model: the network to train; the gradients of its parameters must exist.
        weight_decay: weights shrink by this fraction, times the learning rate, per step.
        max_layer_gain: as in `Muon`.
    """

    def __init__(self, model: nn.Module, weight_decay: float, max_layer_gain: float = 0.0) -> None:
        self.parameters: list[Tensor] = list(model.parameters())
        device = self.parameters[0].device
        self.matrices = [weights for weights in self.parameters if weights.ndim > 1]
        self.vectors = [weights for weights in self.parameters if weights.ndim <= 1]
        self.average = [weights.detach().clone() for weights in self.parameters]
        self.momentum = [torch.zeros_like(weights) for weights in self.matrices]
        self.mean = [torch.zeros_like(weights) for weights in self.vectors]
        self.square = [torch.zeros_like(weights) for weights in self.vectors]
        self.count = torch.zeros((), device=device)
        self.rate = torch.zeros((), device=device)
        """Learning rate; to be filled before each step."""
        self.decay = torch.ones((), device=device)
        """Decay of the moving average; to be filled before each step."""
        self.weight_decay = weight_decay
        self.max_layer_gain = max_layer_gain
        self.groups = _groups(self.matrices)

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights and their average; set the gradients to zero."""
        gradients = _gradients(self.parameters)
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        scale = torch.where(norm.isfinite(), (MAX_NORM / (norm + 1e-6)).clamp(max=1), 0.0)
        for gradient in gradients:
            gradient.nan_to_num_(0, 0, 0)
        torch._foreach_mul_(gradients, scale)
        self.count += 1
        torch._foreach_mul_(self.parameters, 1 - self.rate * self.weight_decay)
        self._step_vectors()
        self._step_matrices()
        if self.max_layer_gain:
            self._limit_gains()
        torch._foreach_zero_(gradients)
        difference = torch._foreach_sub(self.parameters, self.average)
        torch._foreach_mul_(difference, 1 - self.decay)
        torch._foreach_add_(self.average, difference)

    def _step_vectors(self) -> None:
        gradients = _gradients(self.vectors)
        first, second = BETAS
        torch._foreach_lerp_(self.mean, gradients, 1 - first)
        torch._foreach_mul_(self.square, second)
        torch._foreach_addcmul_(self.square, gradients, gradients, 1 - second)
        divisor = torch._foreach_sqrt(self.square)
        torch._foreach_div_(divisor, (1 - second**self.count).sqrt())
        torch._foreach_add_(divisor, EPSILON)
        change = torch._foreach_div(self.mean, divisor)
        torch._foreach_mul_(change, -self.rate / (1 - first**self.count))
        torch._foreach_add_(self.vectors, change)

    def _step_matrices(self) -> None:
        gradients = _gradients(self.matrices)
        torch._foreach_lerp_(self.momentum, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, self.momentum, MOMENTUM)  # Nesterov momentum
        for (rows, columns), members in self.groups.items():
            x = self.rate.new_zeros((len(members), rows, columns), dtype=torch.bfloat16)
            for place, number in enumerate(members):
                matrix = _wide(ahead[number])
                scaled = matrix / (matrix.norm() + EPSILON)
                x[place, : matrix.shape[0], : matrix.shape[1]] = scaled
            x = iterate_newton_schulz(x)
            for place, number in enumerate(members):
                weights = self.matrices[number]
                height, width = _wide(weights).shape
                change = x[place, :height, :width]
                if height != len(weights):
                    change = change.mT
                change = change.reshape(weights.shape) * (ADAMW_RMS * math.sqrt(max(height, width)))
                weights.sub_((change * self.rate).to(weights.dtype))

    def _limit_gains(self) -> None:
        norms = torch._foreach_norm(self.matrices)
        limits = [
            self.max_layer_gain * math.sqrt(len(weights)) / norm
            for weights, norm in zip(self.matrices, norms, strict=True)
        ]
        torch._foreach_mul_(self.matrices, torch._foreach_clamp_max(limits, 1.0))

    def reset(self) -> None:
        """Set the state to zero, as before the first step."""
        for tensor in self.state().values():
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """Return the state of the optimiser by name, without weights and average."""
        named = {"momentum": self.momentum, "mean": self.mean, "square": self.square}
        state = {
            f"{name}.{number}": tensor
            for name, tensors in named.items()
            for number, tensor in enumerate(tensors)
        }
        return {**state, "count": self.count}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        for name, own in self.state().items():
            own.copy_(state[name].to(own.device))


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [weights.grad for weights in parameters if weights.grad is not None]


def _wide(weights: Tensor) -> Tensor:
    """Reshape weights (out, in, ...) to a matrix with no more rows than columns."""
    matrix = weights.flatten(1)
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _groups(matrices: Sequence[Tensor]) -> dict[tuple[int, int], list[int]]:
    """Return the indices of the matrices that are padded to each shape."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, weights in enumerate(matrices):
        rows, columns = _wide(weights).shape
        shape = (
            -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE,
            max(512, 1 << math.ceil(math.log2(columns))),
        )
        groups.setdefault(shape, []).append(number)
    return groups
