"""The colour (reconstruction) losses that the setting `loss` names."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from midframe.errors import ConfigError

Losses = dict[str, Tensor]
"""Loss terms to log, by name."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""From the interpolated and the true frames (N, 3, H, W) in [0, 1] to a scalar."""

PYRAMID_LEVELS = 5
CENSUS_SIZE = 7
"""Height and width of the window of the census transform, in pixels."""
VGG_LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512)
"""VGG-19 up to relu4_4 (Simonyan and Zisserman, 2015, table 1, column E): channels of the
convolutions, and pooling."""
VGG_MEAN, VGG_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours that VGG-19 was trained on."""

NEIGHBOURS = tuple(product(range(3), repeat=2))
"""Positions in a 3x3 neighbourhood, y before x."""
CENTRE = NEIGHBOURS.index((1, 1))


def neighbours(images: Tensor) -> Tensor:
    """Stack the 3x3 neighbours of all inner pixels: (..., C, H, W) -> (..., 9, C, H-2, W-2)."""
    height, width = images.shape[-2] - 2, images.shape[-1] - 2
    shifted = [images[..., y : y + height, x : x + width] for y, x in NEIGHBOURS]
    return torch.stack(shifted, dim=-4)


def l1(interpolated: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute error of colour (SepConv, equation 4), without clipping."""
    return (interpolated - truth).abs().mean()


def mse(interpolated: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared error of colour, without clipping; PSNR is its logarithm."""
    return functional.mse_loss(interpolated, truth)


def gradient(interpolated: Tensor, truth: Tensor) -> Tensor:
    """Return L1 on the differences to the eight neighbours, summed (AdaConv, equation 3)."""
    differences = [
        each - each[:, CENTRE, None] for each in (neighbours(interpolated), neighbours(truth))
    ]
    return l1(*differences) * len(NEIGHBOURS)


def laplacian(interpolated: Tensor, truth: Tensor) -> Tensor:
    """Return L1 on the levels of Laplacian pyramids (Niklaus and Liu, CVPR 2018).

    The weight doubles with each coarser level.
    """
    difference = interpolated - truth  # the pyramid is linear
    total = interpolated.new_zeros(())
    for level in range(PYRAMID_LEVELS - 1):
        if min(difference.shape[-2:]) < 4:
            break
        coarse = functional.avg_pool2d(_smooth(difference), kernel_size=2, ceil_mode=True)
        fine = functional.interpolate(
            coarse, size=difference.shape[-2:], mode="bilinear", align_corners=False
        )
        total = total + 2**level * (difference - fine).abs().mean()
        difference = coarse
    result: Tensor = total + 2 ** (PYRAMID_LEVELS - 1) * difference.abs().mean()
    return result


@lru_cache(maxsize=4)
def _binomial(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the binomial filter, cached: each copy to a GPU would synchronise with it."""
    return torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=device, dtype=dtype) / 16


def _smooth(images: Tensor) -> Tensor:
    """Apply a binomial filter of five taps along both axes."""
    taps = _binomial(images.device, images.dtype)
    channels = images.shape[1]
    padded = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(
        padded, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels
    )
    result: Tensor = functional.conv2d(
        rows, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels
    )
    return result


def census(interpolated: Tensor, truth: Tensor) -> Tensor:
    """Return the soft Hamming distance of census transforms (Meister et al., 2018).

    It does not depend on brightness.
    """
    distance = (_census(interpolated) - _census(truth)) ** 2
    return (distance / (0.1 + distance)).mean()


def _census(images: Tensor) -> Tensor:
    grey = images.mean(dim=1, keepdim=True) * 255
    reach = CENSUS_SIZE // 2
    around = functional.unfold(functional.pad(grey, [reach] * 4, mode="replicate"), CENSUS_SIZE)
    difference = around.view(len(images), CENSUS_SIZE**2, *grey.shape[2:]) - grey
    return difference / torch.sqrt(0.81 + difference**2)


class Feature(nn.Module):
    """Measure the squared distance of VGG-19's features at relu4_4 (SepConv, section 3.1, L_F).

    Args:
        path: safetensors file of VGG-19, with torchvision's layer names (`features.0.weight`).

    Raises:
        ConfigError: the file does not exist, or lacks a layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in VGG_LAYERS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        try:
            wanted = {f"features.{name}" for name in self.features.state_dict()}
            self.load_state_dict(
                {name: value for name, value in load_file(path).items() if name in wanted}
            )
        except (OSError, SafetensorError, RuntimeError) as error:
            hint = "save the state dict of torchvision's vgg19 with safetensors"
            raise ConfigError(
                f"vgg: {path} does not hold VGG-19 ({str(error).splitlines()[0]}): {hint}"
            ) from error
        for name, values in (("mean", VGG_MEAN), ("deviation", VGG_DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, interpolated: Tensor, truth: Tensor) -> Tensor:
        features = [
            self.features((image - self.mean) / self.deviation) for image in (interpolated, truth)
        ]
        return functional.mse_loss(features[0], features[1])


LOSSES: dict[str, Loss] = {
    "l1": l1,
    "mse": mse,
    "laplacian": laplacian,
    "census": census,
    "gradient": gradient,
}
"""Losses by name, except `feature`, which needs a file."""


class ColourLoss(nn.Module):
    """Compute a weighted sum of losses.

    Args:
        weights: the weight of each loss by name.
        vgg: file with the weights of VGG-19, for `feature`.

    Raises:
        ConfigError: unknown loss, or no file for `feature`.
    """

    def __init__(self, weights: Mapping[str, float] | None = None, vgg: str = "") -> None:
        super().__init__()
        self.weights = dict(weights or {"l1": 1.0})
        unknown = sorted(set(self.weights) - set(LOSSES) - {"feature"})
        if unknown:
            raise ConfigError(
                f"no loss {', '.join(unknown)}: choose from {', '.join(LOSSES)}, feature"
            )
        if "feature" in self.weights and not vgg:
            raise ConfigError(
                "the loss feature needs vgg: name a safetensors file with the weights of VGG-19"
            )
        self.feature = Feature(Path(vgg)) if "feature" in self.weights else None

    def forward(self, interpolated: Tensor, truth: Tensor) -> tuple[Tensor, Losses]:
        """Return the sum, and the terms to log: "loss", the sum, and each loss if several."""
        functions = {**LOSSES, "feature": self.feature}
        values = {name: functions[name](interpolated, truth) for name in self.weights}  # type: ignore[misc]
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        terms = {name: value.detach() for name, value in values.items()}
        return total, {"loss": total.detach(), **(terms if len(terms) > 1 else {})}
