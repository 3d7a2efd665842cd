"""3x3 Winograd convolution on the CPU, as one Halide pipeline from features to outputs.

PyTorch's convolutions reach nine tenths of a processor's peak, so only fewer multiplications are
faster; except in bfloat16 on processors with AMX, whose products of tiles PyTorch uses. With the
transforms B^T and A^T of `transforms` and the transformed kernels U, for each tile of 4x4 outputs:

    transformed = B^T features B                            (6x6 values of each input)
    product[o] = sum over inputs c of U[o, c] * transformed[c]
    outputs = A^T product A                                 (4x4 values of each output)

A row of tiles is divided into strips, and the intermediate values of a strip stay in the cache. In
bfloat16 only the transformed features are rounded; features, sums and the output transform are
float32.
"""

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
    buffer_view,
    cached_pipeline,
    channels_innermost,
    in_one_loop,
    storage,
)
from midframe.ops.winograd.halide_transforms import SIZE, SPAN, transform_input, transform_output
from midframe.ops.winograd.transforms import TILE, kernel_values
from midframe.ops.workers import worker_index
from midframe.processor import has_amx

AT_ONCE, BF16_AT_ONCE = 6, 10
"""Tiles whose products, with LANES outputs, are summed in registers, of float32 and of bfloat16: 12
of the 16 of AVX2, 10 of the 32 of AVX-512."""
STRIP = 24
"""Approximate number of adjacent tiles that are processed together."""

c = hl.Var("c")  # input channel
o = hl.Var("o")  # output channel
x = hl.Var("x")
y = hl.Var("y")
n = hl.Var("n")
i = hl.Var("i")  # index of the vertical point
j = hl.Var("j")  # index of the horizontal point
u = hl.Var("u")  # row within a tile of outputs
row = hl.Var("row")  # of tiles
column = hl.Var("column")  # of tiles
task = hl.Var("task")


def supports(features: Tensor) -> bool:
    """Return whether the pipeline supports such features and is faster than PyTorch: on the CPU, at
    least LANES channels, of float32, or of bfloat16 if the processor multiplies it in vectors but
    not in tiles."""
    fit = halide_tools.supports(features) or (
        halide_tools.supports_features(features) and halide_supports_bfloat16() and not has_amx()
    )
    return fit and features.shape[1] >= LANES


@cache
def halide_supports_bfloat16() -> bool:
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
        buffer_view(values),
        buffer_view(bias),
        slope,
        strip,
        buffer_view(result),
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
    together = 2 if bf16 else 1
    values.dim(0).set_bounds(0, together)
    values.dim(1).set_stride(together)
    channels = features.dim(0).extent()
    r = hl.RDom([(0, together), (0, channels // together)], "r")
    functions = _define(features, values, bias, slope, r, bf16)
    _schedule(functions, r, strip, channels, bf16)
    pipeline = Pipeline(functions.result, features, values, bias, slope, strip)
    pipeline.identity = (__name__, str(bf16))  # the same library for all workers
    return pipeline


@dataclass(frozen=True)
class _Functions:
    """The functions of the pipeline, in the order in which they are computed."""

    columns: hl.Func
    """B^T features: the input transform of columns."""
    transformed: hl.Func
    """B^T features B: of columns, then rows."""
    total: hl.Func
    """Sums of products over the input channels."""
    product: hl.Func
    """The same sums, stored."""
    output_columns: hl.Func
    """A^T product: the output transform of columns."""
    result: hl.Func
    """A^T product A, with bias and activation."""


def _define(
    features: hl.ImageParam,
    values: hl.ImageParam,
    bias: hl.ImageParam,
    slope: hl.Param,
    r: hl.RDom,
    bf16: bool,
) -> _Functions:
    """Define the functions of the pipeline.

    Args:
        features: (c, x, y, n).
        values: transformed kernels, as `prepare_kernels` returns them.
        bias: (o).
        slope: factor of negative sums.
        r: inputs that are multiplied in one step, and these steps.
        bf16: features and values are bfloat16.
    """
    columns = hl.Func("columns")
    transformed = hl.Func("transformed")
    total = hl.Func("total")
    product = hl.Func("product")
    output_columns = hl.Func("output_columns")
    result = hl.Func("result")

    left = x - SIZE // 2
    top = row * TILE - SIZE // 2
    column_of_features = [_inside(features, left, top + step, bf16) for step in range(SPAN)]
    columns[c, x, i, row, n] = hl.mux(i, transform_input(column_of_features))
    row_of_values = [columns[c, column * TILE + step, i, row, n] for step in range(SPAN)]
    transformed[c, column, j, i, row, n] = as_stored(
        hl.mux(j, transform_input(row_of_values)), bf16
    )

    point = j + SPAN * i
    together = 2 if bf16 else 1
    channels = features.dim(0).extent()
    # The last channel of an odd number of them, which `r` does not reach in steps of two.
    last = channels - 1
    last_product = as_float(transformed[last, column, j, i, row, n], bf16) * as_float(
        values[0, o, last // together, point], bf16
    )
    total[o, column, j, i, row, n] = hl.select(channels % together == 0, 0.0, last_product)
    feature = transformed[together * r.y + r.x, column, j, i, row, n]
    weight = values[r.x, o, r.y, point]
    total[o, column, j, i, row, n] += _to_float(feature, bf16) * _to_float(weight, bf16)
    product[o, column, j, i, row, n] = total[o, column, j, i, row, n]

    column_of_products = [product[o, column, j, step, row, n] for step in range(SPAN)]
    output_columns[o, column, j, u, row, n] = hl.mux(u, transform_output(column_of_products))
    row_of_outputs = [
        output_columns[o, x // TILE, step, y % TILE, y // TILE, n] for step in range(SPAN)
    ]
    value = hl.mux(x % TILE, transform_output(row_of_outputs)) + bias[o]
    result[o, x, y, n] = as_stored(hl.select(value < 0, value * slope, value), bf16)
    return _Functions(columns, transformed, total, product, output_columns, result)


def _schedule(
    functions: _Functions, r: hl.RDom, strip: hl.Param, channels: Any, bf16: bool
) -> None:
    """Schedule the pipeline.

    A task is a strip of tiles. `transformed` and `product` are computed for all of it, so that they
    stay in the cache, `total` for as many tiles as fit into registers, the others for one tile.
    """
    result = functions.result
    guarded = hl.TailStrategy.GuardWithIf
    rounded = hl.TailStrategy.RoundUp
    shifted = hl.TailStrategy.ShiftInwards
    in_row = hl.Var("in_row")  # within a tile
    in_column = hl.Var("in_column")
    tile = hl.Var("tile")
    tile_in_strip = hl.Var("tile_in_strip")
    few = hl.Var("few")  # vectors of LANES channels
    lane = hl.Var("lane")
    result.split(y, y, in_row, TILE, guarded).split(x, tile, in_column, TILE, guarded)
    result.split(tile, x, tile_in_strip, strip, guarded).split(o, few, lane, LANES, guarded)
    result.reorder(lane, in_column, in_row, few, tile_in_strip, x, y, n)
    result.vectorize(lane).unroll(in_column)
    result.fuse(y, n, task).fuse(x, task, task).parallel(task)

    columns = functions.output_columns
    columns.compute_at(result, few).reorder(o, u, j).bound(u, 0, TILE)
    columns.vectorize(o, LANES, rounded).unroll(u)
    columns.store_in(hl.MemoryType.Stack).bound_storage(o, LANES).bound_storage(j, SPAN)

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

    # All points of LANES channels are unrolled together, so that what opposite points share is
    # computed once.
    transformed = functions.transformed
    transformed.compute_at(result, task).reorder_storage(c, j, i, column, row, n)
    transformed.split(c, few, lane, LANES, shifted).reorder(lane, j, few, i, column, row, n)
    transformed.vectorize(lane).unroll(j)
    # The columns of two tiles overlap: they are kept along a row of tiles.
    columns = functions.columns
    columns.store_at(transformed, row).compute_at(transformed, column).bound(i, 0, SPAN)
    columns.split(c, few, lane, LANES, shifted).reorder(lane, i, few, x, row, n)
    columns.vectorize(lane).unroll(i)
    in_one_loop(columns, transformed, total, product, functions.output_columns, result)


def _inside(features: hl.ImageParam, column: Any, line: Any, bf16: bool) -> Any:
    """Return a feature as float32, or zero outside of the features."""
    width = features.dim(1).extent()
    height = features.dim(2).extent()
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    feature = as_float(
        features[c, hl.clamp(column, 0, width - 1), hl.clamp(line, 0, height - 1), n], bf16
    )
    return hl.select(inside, feature, 0.0)


def _to_float(value: Any, bf16: bool) -> Any:
    """Convert a value of type `storage` to float32, so that Halide selects the processor's bfloat16
    products."""
    return hl.cast(hl.Float(32), hl.reinterpret(hl.BFloat(16), value)) if bf16 else value
