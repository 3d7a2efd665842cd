"""Widen a trained FlowSep, so that training continues from the smaller one (Net2Net, arXiv
1511.05641)."""

import dataclasses

import torch
from torch import Tensor, nn

from midframe.models.flowsep.blocks import FLOW_CHANNELS, TIME_CHANNELS
from midframe.models.flowsep.config import FlowSepConfig
from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.network import FlowSep

NEW_FEATURES_GAIN = 0.1
"""Factor of the initial weights of new features. They are small because the correlation includes
all features, even if the decoders do not use them yet."""
CHANGEABLE_SETTINGS = (
    "widths",
    "hidden",
    "bidirectional_levels",
    "propagation_distance",
    "dominant_motions",
    "taps",
    "resampling",
    "coarse_passes",
)
"""Settings that may differ: sizes that grow, the length of the kernels, settings without
weights."""
HEAD = "decoders.0.head"
"""The convolution that outputs the fields."""
Channels = tuple[Tensor, Tensor]
"""Indices of outputs in the larger and in the smaller network, in the same order."""


def widen(smaller: FlowSep, config: FlowSepConfig) -> FlowSep:
    """Create a larger network that computes the same as a smaller one, except for a small change of
    the correlation.

    New channels have random weights, and the channels of the smaller network do not depend on them
    yet. New taps, at both ends of the kernels, are 0; dropped taps are added to the outermost ones
    that remain. With fewer taps or another resampling the larger network computes something else
    until it is trained.

    Raises:
        ValueError: a setting differs that is not in `CHANGEABLE_SETTINGS`, or a width is smaller.
    """
    old = smaller.config
    sizes = zip((*old.widths, *old.hidden), (*config.widths, *config.hidden), strict=True)
    expected = dataclasses.replace(
        old, **{name: getattr(config, name) for name in CHANGEABLE_SETTINGS}
    )
    if config != expected or any(before > after for before, after in sizes):
        raise ValueError(
            f"only {', '.join(CHANGEABLE_SETTINGS)} may differ, and no width may become smaller"
        )
    larger = FlowSep(config)
    with torch.no_grad():
        for name, module in smaller.named_modules():
            if isinstance(module, nn.Conv2d):
                target = larger.get_submodule(name)
                assert isinstance(target, nn.Conv2d)
                if name == HEAD:
                    target.weight.zero_()  # new taps
                _fill(
                    target,
                    module,
                    _input_groups(name, old, module),
                    _input_groups(name, config, target),
                    _outputs(name, old, config, module),
                )
        for step, width in zip(larger.encoder, old.widths, strict=True):
            step[1][0].weight[width:] *= NEW_FEATURES_GAIN  # type: ignore[index]
    return larger


def _input_groups(name: str, config: FlowSepConfig, module: nn.Conv2d) -> list[int]:
    """Return the number of input channels of each group of a convolution, in their order."""
    part, number, *rest = name.split(".")
    if part != "decoders" or rest != ["body", "0", "0"]:
        return [module.in_channels]
    level = int(number)  # groups as in `Steps.decoder_input`
    width = config.widths[level]
    carried = (*config.hidden[1:], 0)[level]
    flow_and_time = FLOW_CHANNELS + TIME_CHANNELS
    correlation = module.in_channels - 2 * width - carried - flow_and_time
    return [width, width, correlation, carried, flow_and_time]


def _outputs(name: str, old: FlowSepConfig, new: FlowSepConfig, module: nn.Conv2d) -> Channels:
    """Return the corresponding outputs of a convolution in the larger and in the smaller
    network."""
    every = torch.arange(module.out_channels)
    if name != HEAD:
        return every, every
    before, after = FieldLayout(old.taps), FieldLayout(new.taps)
    pairs = [(channel, channel) for channel in range(before.flows.stop)]
    shift = (new.taps - old.taps) // 2
    for kernel, wider in zip(before.each_kernel, after.each_kernel, strict=True):
        for tap in range(old.taps):
            moved = min(max(0, tap + shift), new.taps - 1)
            pairs.append((wider.start + moved, kernel.start + tap))
    rest = range(before.mask.start, before.channels)
    pairs += [(channel - before.mask.start + after.mask.start, channel) for channel in rest]
    targets, sources = torch.tensor(pairs).unbind(1)
    return targets, sources


def _fill(
    larger: nn.Conv2d, smaller: nn.Conv2d, old: list[int], new: list[int], outputs: Channels
) -> None:
    """Copy the weights of a smaller convolution into a larger one.

    Args:
        larger, smaller: the convolutions.
        old, new: the groups of inputs of the smaller and of the larger one.
        outputs: by `_outputs`.
    """
    starts = torch.tensor([0, *new[:-1]]).cumsum(0).tolist()
    inputs = [start + torch.arange(count) for start, count in zip(starts, old, strict=True)]
    targets, sources = outputs
    place = (targets[:, None], torch.cat(inputs))
    assert larger.bias is not None
    assert smaller.bias is not None
    larger.weight[targets] = 0
    larger.bias[targets] = 0
    larger.weight.index_put_(place, smaller.weight[sources], accumulate=True)
    larger.bias.index_put_((targets,), smaller.bias[sources], accumulate=True)
