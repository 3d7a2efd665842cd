"""A larger FlowSep from a smaller one that has learnt: it goes on where that one ended (Net2Net, arXiv 1511.05641)."""

import dataclasses

import torch
from torch import nn

from midframe.models.flowsep import FlowSep, FlowSepConfig

NEW_FEATURES_GAIN = 0.1
"""Scale of the weights that make features which the smaller network has not: all features are correlated, whatever the
decoders make of them, so new ones are small at first."""
FREE = "widths", "hidden", "both_ways", "neighbours", "coarse_passes"
"""What may differ: what grows, and ways to look that have no weights."""
TRACK = 5
"""Channels of two flows and the time."""


def grown(smaller: FlowSep, config: FlowSepConfig) -> FlowSep:
    """Make a network of a larger form that says what a smaller one says; only the correlation changes, a little.

    Channels that are new have fresh weights, and those that the smaller network has do not read them yet.

    Raises:
        ValueError: the form differs in more than what is `FREE`, or something is smaller.
    """
    old = smaller.config
    sizes = zip((*old.widths, *old.hidden), (*config.widths, *config.hidden), strict=True)
    wanted = dataclasses.replace(old, **{name: getattr(config, name) for name in FREE})
    if config != wanted or any(a > b for a, b in sizes):
        raise ValueError(f"only {', '.join(FREE)} may be others, and no width may become smaller")
    larger = FlowSep(config)
    with torch.no_grad():
        for name, module in smaller.named_modules():
            if isinstance(module, nn.Conv2d):
                filled = larger.get_submodule(name)
                assert isinstance(filled, nn.Conv2d)
                _fill(filled, module, _inputs(name, old, module), _inputs(name, config, filled))
        for step, width in zip(larger.encoder, old.widths, strict=True):
            step[1][0].weight[width:] *= NEW_FEATURES_GAIN  # type: ignore[index]
    return larger


def _inputs(name: str, config: FlowSepConfig, module: nn.Conv2d) -> list[int]:
    """How many channels of each kind a convolution reads, in their order."""
    kind, level, *rest = name.split(".")
    if kind == "decoders" and rest == ["body", "0", "0"]:  # as `aligned` lays them out
        n = int(level)
        width, carried = config.widths[n], (*config.hidden[1:], 0)[n]
        return [width, width, module.in_channels - 2 * width - carried - TRACK, carried, TRACK]
    return [module.in_channels]


def _fill(larger: nn.Conv2d, smaller: nn.Conv2d, old: list[int], new: list[int]) -> None:
    """Give a convolution the weights of a smaller one; `old` and `new` as by `_inputs`."""
    starts = torch.tensor([0, *new[:-1]]).cumsum(0).tolist()
    places = torch.cat([start + torch.arange(count) for start, count in zip(starts, old, strict=True)])
    outputs = smaller.out_channels
    larger.weight[:outputs] = 0
    larger.weight[:outputs, places] = smaller.weight
    larger.bias[:outputs] = smaller.bias  # type: ignore[index,assignment]  # torch's stubs allow for none
