"""3x3 Winograd convolution on the CPU, as one Halide pipeline that processes strips from features
to outputs.

PyTorch's convolutions reach nine tenths of a processor's peak, so only fewer multiplications are
faster. The intermediate values of a strip of tiles stay in the cache. In bfloat16 only the
transformed features are rounded; features, sums and the output transform are float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops import halide_tools
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    as_float,
    as_stored,
    cached_pipeline,
    channels_innermost,
    in_one_loop,
    storage,
    writable,
)
from midframe.ops.winograd.transforms import TILE, kernel_values, transforms
from midframe.ops.workers import worker_index

SIZE = 3
SPAN = TILE + SIZE - 1
"""Height and width of the features of a tile of outputs."""
AT_ONCE, BF16_AT_ONCE = 6, 10
"""Tiles whose products, with LANES outputs, are summed in registers, of float32 and of bfloat16: 12
of the 16 of AVX2, 10 of the 32 of AVX-512."""
STRIP = 24
"""Approximate number of adjacent tiles that are processed together."""
PAIRS = ((1, 2), (3, 4))
"""Indices in `POINTS` of pairs of opposite points, which share half of their computation."""

c = hl.Var("c")
o = hl.Var("o")
x = hl.Var("x")
y = hl.Var("y")
n = hl.Var("n")
i = hl.Var("i")
j = hl.Var("j")
u = hl.Var("u")
row = hl.Var("row")
column = hl.Var("column")
task = hl.Var("task")


def supports(features: Tensor) -> bool:
    """Return whether the pipeline supports such features: on the CPU, at least LANES channels, of a
    type that it multiplies in."""
    fit = halide_tools.supports(features) or (
        halide_tools.supports_features(features) and multiplies_bf16()
    )
    return fit and features.shape[1] >= LANES


@cache
def multiplies_bf16() -> bool:
    """Return whether Halide supports the processor's products of bfloat16, which come in pairs."""
    target = hl.get_jit_target_from_environment()
    features = hl.TargetFeature
    return any(
        target.has_feature(each) for each in (features.AVX512_Zen4, features.AVX512_SapphireRapids)
    )


def prepare_kernels(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Transform kernels (outputs, inputs, 3, 3) and pad kernels and bias to a multiple of LANES
    outputs, as `convolve` takes them.

    Returns:
        values: (P*P, inputs / together, outputs, together), in the type of the weights. `together`
            inputs are multiplied and added in one step: one in float32, two in bfloat16 (padded
            with zeros).
        bias: (outputs,), float32.
    """
    together = 2 if weight.dtype == torch.bfloat16 else 1
    missing = -len(weight) % LANES
    values = functional.pad(kernel_values(weight), (0, missing, 0, -weight.shape[1] % together))
    values = (
        values.reshape(len(values), -1, together, values.shape[2])
        .transpose(2, 3)
        .contiguous()
        .to(weight.dtype)
    )
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return values, functional.pad(bias.float(), (0, missing))


def convolve(features: Tensor, values: Tensor, bias: Tensor, outputs: int, slope: float) -> Tensor:
    """Convolve features (N, C, H, W) with zero padding, add a bias, and multiply negative sums by a
    slope.

    Returns:
        (N, outputs, H, W), channels innermost.
    """
    count, _, height, width = features.shape
    bf16 = features.dtype == torch.bfloat16
    result = features.new_empty(count, height, width, outputs)
    tiles = -(-width // TILE)
    strips = -(-tiles // STRIP)
    at_once = BF16_AT_ONCE if bf16 else AT_ONCE
    strip = -(-tiles // strips // at_once) * at_once
    _pipeline(bf16, worker_index())(
        channels_innermost(features),
        writable(values),
        writable(bias),
        slope,
        strip,
        writable(result),
    )
    return result.permute(0, 3, 1, 2)


@cached_pipeline
def _pipeline(bf16: bool, worker: int) -> Pipeline:
    """Build the pipeline for a worker, by its index. Each worker has its own: a pipeline that is
    compiled in memory runs one call at a time."""
    features = hl.ImageParam(storage(bf16), 4, "features")
    values = hl.ImageParam(storage(bf16), 4, "values")
    bias = hl.ImageParam(hl.Float(32), 1, "bias")
    slope = hl.Param(hl.Float(32))
    strip = hl.Param(hl.Int(32))
    channels = features.dim(0).extent()
    wide = features.dim(1).extent()
    high = features.dim(2).extent()
    together = 2 if bf16 else 1
    values.dim(0).set_bounds(0, together)
    values.dim(1).set_stride(together)
    _, input_transform, output_transform = transforms(SIZE)
    from_features = input_transform.round(decimals=12).tolist()
    to_outputs = output_transform.round(decimals=12).tolist()
    down = hl.Func("down")
    both = hl.Func("both")
    total = hl.Func("total")
    product = hl.Func("product")
    across = hl.Func("across")
    result = hl.Func("result")

    # Input transform, down and then across; sums of products; output transform, down and then
    # across.
    left = x - SIZE // 2
    above = row * TILE - SIZE // 2
    seen = [_inside(features, left, above + step, wide, high, bf16) for step in range(SPAN)]
    down[c, x, i, row, n] = hl.mux(i, _values(from_features, seen))
    beside = [down[c, column * TILE + step, i, row, n] for step in range(SPAN)]
    both[c, column, j, i, row, n] = as_stored(hl.mux(j, _values(from_features, beside)), bf16)
    place = j + SPAN * i
    last = channels - 1
    alone = as_float(both[last, column, j, i, row, n], bf16) * as_float(
        values[0, o, last // together, place], bf16
    )
    total[o, column, j, i, row, n] = hl.select(channels % together == 0, 0.0, alone)
    r = hl.RDom([(0, together), (0, channels // together)], "r")
    feature = both[together * r.y + r.x, column, j, i, row, n]
    weight = values[r.x, o, r.y, place]
    total[o, column, j, i, row, n] += _to_float(feature, bf16) * _to_float(weight, bf16)
    product[o, column, j, i, row, n] = total[o, column, j, i, row, n]
    rows = [product[o, column, j, step, row, n] for step in range(SPAN)]
    across[o, column, j, u, row, n] = hl.mux(u, _outputs(to_outputs, rows))
    columns = [across[o, x // TILE, step, y % TILE, y // TILE, n] for step in range(SPAN)]
    value = hl.mux(x % TILE, _outputs(to_outputs, columns)) + bias[o]
    result[o, x, y, n] = as_stored(hl.select(value < 0, value * slope, value), bf16)
    _schedule(_Functions(down, both, total, product, across, result), r, strip, channels, bf16)
    pipeline = Pipeline(result, features, values, bias, slope, strip)
    pipeline.identity = (__name__, str(bf16))  # the same library for all workers
    return pipeline


@dataclass(frozen=True)
class _Functions:
    """The functions of the pipeline, in the order in which they are computed."""

    down: hl.Func
    """The input transform of columns."""
    both: hl.Func
    """The input transform of columns and rows."""
    total: hl.Func
    """Sums of products over the channels."""
    product: hl.Func
    """The same sums, stored."""
    across: hl.Func
    """The output transform of columns."""
    result: hl.Func


def _schedule(
    functions: _Functions, r: hl.RDom, strip: hl.Param, channels: Any, bf16: bool
) -> None:
    """Schedule the pipeline.

    A task is a strip of tiles; `both` and `product` are computed for all of it, so that they stay
    in the cache, `total` for as many tiles as fit into registers, the others for one tile.
    """
    result = functions.result
    guarded = hl.TailStrategy.GuardWithIf
    rounded = hl.TailStrategy.RoundUp
    shifted = hl.TailStrategy.ShiftInwards
    in_row = hl.Var("yi")
    in_column = hl.Var("xi")
    tile = hl.Var("xo")
    tile_in_strip = hl.Var("xt")
    few = hl.Var("oo")
    lane = hl.Var("oi")
    result.split(y, y, in_row, TILE, guarded).split(x, tile, in_column, TILE, guarded)
    result.split(tile, x, tile_in_strip, strip, guarded).split(o, few, lane, LANES, guarded)
    result.reorder(lane, in_column, in_row, few, tile_in_strip, x, y, n)
    result.vectorize(lane).unroll(in_column)
    result.fuse(y, n, task).fuse(x, task, task).parallel(task)

    across = functions.across
    across.compute_at(result, few).reorder(o, u, j).bound(u, 0, TILE)
    across.vectorize(o, LANES, rounded).unroll(u)
    across.store_in(hl.MemoryType.Stack).bound_storage(o, LANES).bound_storage(j, SPAN)

    product = functions.product
    product.compute_at(result, task).reorder_storage(o, j, i, column, row, n)
    product.bound(j, 0, SPAN).bound(i, 0, SPAN)
    group = hl.Var("group")
    within = hl.Var("within")
    at_once = BF16_AT_ONCE if bf16 else AT_ONCE
    product.split(o, few, lane, LANES, rounded).split(column, group, within, at_once, rounded)
    product.reorder(lane, within, group, few, j, i, row, n).vectorize(lane).unroll(within)

    total = functions.total
    total.compute_at(product, group).vectorize(o, LANES).unroll(column)
    total.update(0).reorder(r.x, o, column, r.y).vectorize(o, LANES).unroll(column)
    if bf16:  # pairs are multiplied and added by one instruction
        total.specialize(channels % 2 == 0)
        total.update(0).atomic().vectorize(r.x)

    # Shared terms of opposite points are computed once: all points of LANES channels are adjacent.
    both = functions.both
    both.compute_at(result, task).reorder_storage(c, j, i, column, row, n)
    both.split(c, few, lane, LANES, shifted).reorder(lane, j, few, i, column, row, n)
    both.vectorize(lane).unroll(j)
    down = functions.down
    down.store_at(both, row).compute_at(both, column).bound(i, 0, SPAN)
    down.split(c, few, lane, LANES, shifted).reorder(lane, i, few, x, row, n)
    down.vectorize(lane).unroll(i)
    in_one_loop(down, both, total, product, across, result)


def _inside(
    features: hl.ImageParam, across: Any, along: Any, wide: Any, high: Any, bf16: bool
) -> Any:
    """Return a feature as float32, or zero outside of the features."""
    there = (across >= 0) & (across < wide) & (along >= 0) & (along < high)
    feature = as_float(
        features[c, hl.clamp(across, 0, wide - 1), hl.clamp(along, 0, high - 1), n], bf16
    )
    return hl.select(there, feature, 0.0)


def _to_float(value: Any, bf16: bool) -> Any:
    """Convert a value of type `storage` to float32, so that Halide selects the processor's bfloat16
    products."""
    return hl.cast(hl.Float(32), hl.reinterpret(hl.BFloat(16), value)) if bf16 else value


def _values(matrix: list[list[float]], given: Sequence[Any]) -> list[Any]:
    """Multiply the input transform with a column; opposite points share their sums."""
    results = {place: _sum(matrix[place], given) for place in (0, SPAN - 1)}
    for first, second in PAIRS:
        equal = [
            weight if weight == other else 0.0
            for weight, other in zip(matrix[first], matrix[second], strict=True)
        ]
        opposite = [weight - other for weight, other in zip(matrix[first], equal, strict=True)]
        results[first] = _sum(equal, given) + _sum(opposite, given)
        results[second] = _sum(equal, given) - _sum(opposite, given)
    return [results[place] for place in range(SPAN)]


def _outputs(matrix: list[list[float]], given: Sequence[Any]) -> list[Any]:
    """Multiply the output transform with a column; opposite points differ in the sign of odd
    powers."""
    sums = [given[first] + given[second] for first, second in PAIRS]
    differences = [given[first] - given[second] for first, second in PAIRS]
    results = []
    for power, weights in enumerate(matrix):
        pair_weights = [weights[first] for first, _ in PAIRS]
        terms = [given[0], *(differences if power % 2 else sums), given[-1]]
        results.append(_sum([weights[0], *pair_weights, weights[-1]], terms))
    return results


def _sum(weights: Sequence[float], given: Sequence[Any]) -> Any:
    terms = [hl.f32(weight) * value for weight, value in zip(weights, given, strict=True) if weight]
    return sum(terms[1:], terms[0])
