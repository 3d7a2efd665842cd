"""AdaConv a patch at a time beside all pixels of a block at once, and both beside a plain product
of matrices.

python benchmarks/adaconv.py            (some minutes on two cores)
python benchmarks/adaconv.py --frame    (a 1280x720 frame as well, and on CUDA where there is one)

Patch by patch is how implementations evaluate the network that follow the paper to the letter: 128
patches of 79x79 a batch, float32; of each size once. The rest of a size is timed in turns, and the
fastest of each is taken.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from ops import fastest
from torch import Tensor, nn

from midframe.devices import choose_precision
from midframe.interpolator import Interpolator
from midframe.models.adaconv import MARGIN, PATCH, AdaConv
from midframe.models.checkpoint import channels_last
from midframe.models.winograd import WinogradConvolution
from midframe.ops.winograd import TILE

BATCH = 128
"""Patches evaluated together in the patch-by-patch way."""
ROUNDS = 3
SIDE = 2048
"""Of the matrices whose product stands for what the processor can do."""


def patch_by_patch(model: AdaConv, first: Tensor, second: Tensor) -> Tensor:
    """The middle frame (1, 3, H, W), pixel after pixel."""
    pair, frames = model.prepare(first, second)
    height, width = first.shape[2:]
    inner = slice(MARGIN - model.config.taps // 2, MARGIN + model.config.taps // 2 + 1)
    places = [(y, x) for y in range(height) for x in range(width)]
    made = []
    for start in range(0, len(places), BATCH):
        seen = [
            (slice(y, y + PATCH), slice(x, x + PATCH)) for y, x in places[start : start + BATCH]
        ]
        patches = torch.cat([pair[..., rows, columns] for rows, columns in seen])
        kernels = model.kernels(patches[:, :3], patches[:, 3:])[..., 0, 0]  # (B, 2, K, K)
        cut = torch.cat([frames[..., rows, columns] for rows, columns in seen])[..., inner, inner]
        made.append(torch.einsum("nfij,nfcij->nc", kernels, cut))
    return torch.cat(made).T.reshape(1, 3, height, width)


def multiplies(model: AdaConv, work: Callable[[], object]) -> tuple[int, int]:
    """The multiply-adds of the network's convolutions in a piece of work: those done, and those of
    the plain form.

    Winograd's transforms are left out.
    """
    done = plain = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal done, plain
        if isinstance(layer, nn.Conv2d):
            done += output.numel() * layer.weight[0].numel()
            plain += output.numel() * layer.weight[0].numel()
        elif (
            isinstance(layer, WinogradConvolution) and output[0, 0].numel() > 1
        ):  # of single pixels its plain layer is
            done += output.numel() * layer.values[0, :, 0].numel() * len(layer.values) // TILE**2
            plain += output.numel() * layer.layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in model.modules()]
    work()
    for hook in hooks:
        hook.remove()
    return done, plain


@torch.inference_mode()
def compare(size: int, models: dict[str, AdaConv]) -> None:
    """Print the table of one size."""
    first, second = torch.rand(2, 1, 3, size, size)
    plain = models["float32"]
    dense = {name: partial(model, first, second) for name, model in models.items()}
    products = {
        f"product, {name}": _product(next(model.parameters()).dtype)
        for name, model in models.items()
    }
    taken = fastest({**dense, **products}, ROUNDS)
    slow = fastest({"slow": lambda: patch_by_patch(plain, first, second)}, rounds=1)["slow"]
    one_patch = tuple(
        work // BATCH * size**2 for work in multiplies(plain, lambda: _one_batch(plain))
    )
    rows = [("patch by patch, float32", "float32", slow, one_patch)]
    rows += [
        (f"all at once, {name}", name, taken[name], multiplies(models[name], dense[name]))
        for name in models
    ]
    print(f"\n{size}x{size}")
    print(f"{'':28}{'':>9}{'':>8}{'multiply-adds done':>30}{'of the plain form':>30}")
    print(f"{'':28}{'s':>9}{'times':>8}" + f"{'M/pixel':>9}{'GFLOP/s':>9}{'of product':>12}" * 2)
    for label, name, time_taken, works in rows:
        print(f"{label:28}{time_taken:9.2f}{slow / time_taken:8.1f}", end="")
        for work in works:
            rate, limit = work / time_taken, SIDE**3 / taken[f"product, {name}"]
            print(f"{work / size**2 / 1e6:9.1f}{2 * rate / 1e9:9.0f}{rate / limit:12.0%}", end="")
        print(flush=True)


def _product(precision: torch.dtype) -> Callable[[], object]:
    """A plain product of two square matrices."""
    matrix = torch.rand(SIDE, SIDE).to(precision)
    return lambda: matrix @ matrix


def _one_batch(model: AdaConv) -> Tensor:
    return model.kernels(*torch.rand(2, BATCH, 3, PATCH, PATCH))


@torch.inference_mode()
def whole_frame(device: str) -> None:
    """Print the time of a 1280x720 frame with fresh weights, in the precision that is chosen on its
    own."""
    interpolator = Interpolator(AdaConv(), device=device)
    first, second = torch.rand(2, 1, 3, 720, 1280, device=interpolator.device)
    if device == "cuda":
        interpolator.middle(first, second)  # kernels are compiled
    start = time.perf_counter()
    interpolator.middle(first, second).cpu()
    print(
        f"1280x720 on {device}, {interpolator.precision}: {time.perf_counter() - start:.1f} s",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frame", action="store_true", help="time a whole frame too")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[64, 128], help="sides of the outputs, in pixels"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    network = AdaConv()
    types = dict.fromkeys((torch.float32, choose_precision("auto", torch.device("cpu"))))
    models = {
        str(each).removeprefix("torch."): channels_last(network.for_inference(each))
        for each in types
    }
    print(
        f"{torch.get_num_threads()} threads, fresh weights, batch normalisation folded everywhere"
    )
    for size in options.sizes:
        compare(size, models)
    for device in ("cpu", "cuda") if options.frame else ():
        if device == "cpu" or torch.cuda.is_available():
            whole_frame(device)


if __name__ == "__main__":
    main()
