"""Muon: momentum SGD with orthogonalised steps."""

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from midframe.training.aliases import rename_group_options

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5: five iterations map singular values in [0.01, 1] close to 1."""
ITERATIONS = 5
EPSILON = 1e-8
ADAMW_RMS = 0.2
"""RMS of a step of AdamW, to which steps are scaled, so that both use one learning rate (arXiv
2502.16982)."""


class Muon(torch.optim.Optimizer):
    """Optimise weights of convolutions by orthogonalised momentum, biases by AdamW.

    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024: the step of a
    layer is the nearest semi-orthogonal matrix to its momentum, so that rare gradient directions
    are learnt as fast as frequent ones. PyTorch's implementation accepts only matrices; here
    weights of convolutions (out, in, height, width) are matrices with `out` rows. The author
    advises AdamW for the first and the last layer; here the first convolutions and the output heads
    are optimised by Muon too.

    Args:
        parameters: parameters to optimise.
        lr: learning rate of both, as for AdamW.
        weight_decay: weights shrink by this fraction, times the learning rate, per step.
        max_layer_gain: limit on the factor by which a layer amplifies the RMS of uncorrelated
            inputs; weights above it are scaled down after each step. He initialisation has 1.41.
            0: no limit.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        max_layer_gain: float = 0.0,
    ) -> None:
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95, "betas": (0.9, 0.999)}
        super().__init__(parameters, {**options, "max_layer_gain": max_layer_gain})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    change = _matrix_step if weights.ndim > 1 else _vector_step
                    weights.mul_(1 - group["lr"] * group["weight_decay"])
                    weights.sub_(change(weights.grad, self.state[weights], group) * group["lr"])
                    if weights.ndim > 1 and group["max_layer_gain"]:
                        gain = weights.norm() / sqrt(len(weights))
                        weights.mul_((group["max_layer_gain"] / gain).clamp(max=1))
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # of checkpoints that an older version wrote
            rename_group_options(group)
            group.setdefault("max_layer_gain", 0.0)


def _matrix_step(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    matrix = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)  # Nesterov momentum
    return (orthogonalise(matrix) * ADAMW_RMS * sqrt(max(matrix.shape))).view(gradient.shape)


def _vector_step(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    first, second = group["betas"]
    if not state:
        state.update(mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient), step=0)
    state["step"] += 1
    state["mean"].lerp_(gradient, 1 - first)
    state["square"].lerp_(gradient.square(), 1 - second)
    mean: Tensor = state["mean"] / (1 - first ** state["step"])
    square: Tensor = state["square"] / (1 - second ** state["step"])
    return mean / (square.sqrt() + EPSILON)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return approximately the nearest semi-orthogonal matrix; singular values are 0.7 to 1.2.

    Newton-Schulz iteration with the coefficients of Jordan et al., in bfloat16.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = iterate_newton_schulz(x / (x.norm() + EPSILON))
    return (x if wide else x.T).to(matrix.dtype)


def iterate_newton_schulz(x: Tensor) -> Tensor:
    """Bring the singular values of one matrix (rows, columns) or several (N, rows, columns) near 1.

    They have no more rows than columns and a norm of at most 1.
    """
    a, b, c = NEWTON_SCHULZ
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(ITERATIONS):
        square = x @ x.mT
        powers = add_product(square, square, square, beta=b, alpha=c)
        x = add_product(x, powers, x, beta=a)
    return x
