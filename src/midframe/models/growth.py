"""A larger FlowSep from a smaller one that has learnt: it goes on where that one ended (Net2Net, arXiv 1511.05641)."""

import dataclasses

import torch
from torch import Tensor, nn

from midframe.models.flowsep import FlowSep, FlowSepConfig

NEW_FEATURES_GAIN = 0.1
"""Scale of the weights that make features which the smaller network has not: all features are correlated, whatever the
decoders make of them, so new ones are small at first."""
FREE = "widths", "hidden", "both_ways", "neighbours", "taps", "resampling", "coarse_passes"
"""Settings that may differ: sizes that grow, the length of the kernels, and settings without weights."""
FLOW_FIELDS, KERNELS = 4, 4
"""Outputs of the finest level before its kernels, and how many kernels follow, of K taps each."""
HEAD = "decoders.0.head"
"""The convolution whose outputs the fields are computed from."""
Rows = tuple[Tensor, Tensor]
"""Numbers of outputs in the larger and in the smaller network, in the same order."""
TRACK = 5
"""Channels of two flows and the time."""


def grown(smaller: FlowSep, config: FlowSepConfig) -> FlowSep:
    """Make a network of a larger form that says what a smaller one says; only the correlation changes, a little.

    Channels that are new have fresh weights, and those that the smaller network has do not read them yet. Taps that are
    new, at both ends of the kernels, are 0; taps that are dropped are added to the outermost ones. Fewer taps or
    another resampling change the result: training resumes from there.

    Raises:
        ValueError: the form differs in more than what is `FREE`, or a width is smaller.
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
                inputs = _inputs(name, old, module), _inputs(name, config, filled)
                if name == HEAD:
                    filled.weight.zero_()  # taps that are new
                _fill(filled, module, *inputs, _outputs(name, old, config, module))
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


def _outputs(name: str, old: FlowSepConfig, new: FlowSepConfig, module: nn.Conv2d) -> Rows:
    """Where the outputs of a convolution go in the larger one, and which outputs these are."""
    if name != HEAD:
        every = torch.arange(module.out_channels)
        return every, every
    start, stop = FLOW_FIELDS, FLOW_FIELDS + KERNELS * old.taps
    moved, kept = (new.taps - old.taps) // 2, []
    for output in range(start, stop):
        kernel, tap = divmod(output - start, old.taps)
        tap = min(max(0, tap + moved), new.taps - 1)
        kept.append((start + kernel * new.taps + tap, output))
    after = KERNELS * (new.taps - old.taps)
    others = [(n, n) for n in range(start)], [(n + after, n) for n in range(stop, module.out_channels)]
    to, of = torch.tensor([*others[0], *kept, *others[1]]).unbind(1)
    return to, of


def _fill(larger: nn.Conv2d, smaller: nn.Conv2d, old: list[int], new: list[int], rows: Rows) -> None:
    """Give a convolution the weights of a smaller one; `old` and `new` as by `_inputs`, `rows` as by `_outputs`."""
    starts = torch.tensor([0, *new[:-1]]).cumsum(0).tolist()
    places = torch.cat([start + torch.arange(count) for start, count in zip(starts, old, strict=True)])
    to, of = rows
    larger.weight[to] = 0
    larger.bias[to] = 0  # type: ignore[index]  # torch's stubs allow for none
    larger.weight.index_put_((to[:, None], places), smaller.weight[of], accumulate=True)
    larger.bias.index_put_((to,), smaller.bias[of], accumulate=True)  # type: ignore[union-attr,index]
