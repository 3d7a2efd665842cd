"""How far a made frame is from the true one: the losses of colour that a training can be given, by name."""

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

Parts = dict[str, Tensor]
"""What is logged of a loss: its parts by name."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""From the made and the true frames (N, 3, H, W) in [0, 1] to a scalar."""

PYRAMID_LEVELS = 5
CENSUS_SIZE = 7
"""Height and width of the neighbourhoods that census compares, in pixels."""
VGG_LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512)
"""VGG-19 up to relu4_4 (Simonyan and Zisserman, 2015, table 1, column E): channels, and where it is halved."""
VGG_MEAN, VGG_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours that VGG-19 was trained on."""

NEIGHBOURS = tuple(product(range(3), repeat=2))
"""Places in a 3x3 neighbourhood, y before x."""
CENTRE = NEIGHBOURS.index((1, 1))


def neighbours(images: Tensor) -> Tensor:
    """The neighbourhood of every pixel but the outermost: (..., C, H, W) -> (..., 9, C, H-2, W-2)."""
    height, width = (size - 2 for size in images.shape[-2:])
    return torch.stack([images[..., y : y + height, x : x + width] for y, x in NEIGHBOURS], dim=-4)


def l1(made: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of colour (SepConv, equation 4), not clipped."""
    return (made - truth).abs().mean()


def mse(made: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of colour, not clipped: what PSNR is the logarithm of."""
    return functional.mse_loss(made, truth)


def gradient(made: Tensor, truth: Tensor) -> Tensor:
    """L1 on the differences to the eight neighbours, summed over them (AdaConv, equation 3)."""
    differences = [each - each[:, CENTRE, None] for each in (neighbours(made), neighbours(truth))]
    return l1(*differences) * len(NEIGHBOURS)


def laplacian(made: Tensor, truth: Tensor) -> Tensor:
    """L1 on the levels of Laplacian pyramids; each coarser level counts twice (Niklaus and Liu, CVPR 2018)."""
    difference = made - truth  # a pyramid of differences is the difference of pyramids
    total = made.new_zeros(())
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
    """The taps, sent to a graphics card once: each sending would wait for all that was asked of it before."""
    return torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=device, dtype=dtype) / 16


def _smooth(images: Tensor) -> Tensor:
    """Binomial filter of five taps along both axes."""
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


def census(made: Tensor, truth: Tensor) -> Tensor:
    """How differently neighbourhoods of 7x7 pixels are ordered, softly: blind to brightness (Meister et al., 2018)."""
    one, other = _census(made), _census(truth)
    distance = (one - other) ** 2
    return (distance / (0.1 + distance)).mean()


def _census(images: Tensor) -> Tensor:
    grey = images.mean(dim=1, keepdim=True) * 255
    reach = CENSUS_SIZE // 2
    around = functional.unfold(functional.pad(grey, [reach] * 4, mode="replicate"), CENSUS_SIZE)
    difference = around.view(len(images), CENSUS_SIZE**2, *grey.shape[2:]) - grey
    return difference / torch.sqrt(0.81 + difference**2)


class Feature(nn.Module):
    """Squared distance of VGG-19's features at relu4_4 (SepConv, section 3.1, the loss L_F).

    Args:
        path: VGG-19 in safetensors, with the names that torchvision gives its layers (`features.0.weight`).

    Raises:
        ConfigError: there is no such file, or it lacks a layer.
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
            hint = "save the state of torchvision's vgg19 with safetensors"
            raise ConfigError(
                f"vgg: {path} does not hold VGG-19 ({str(error).splitlines()[0]}): {hint}"
            ) from error
        for name, values in (("mean", VGG_MEAN), ("deviation", VGG_DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, made: Tensor, truth: Tensor) -> Tensor:
        one, other = (
            self.features((image - self.mean) / self.deviation) for image in (made, truth)
        )
        return functional.mse_loss(one, other)


LOSSES: dict[str, Loss] = {
    "l1": l1,
    "mse": mse,
    "laplacian": laplacian,
    "census": census,
    "gradient": gradient,
}
"""Losses by name; `feature` is the one that needs a file."""


class ColourLoss(nn.Module):
    """A sum of losses, each with its weight.

    Args:
        weights: the weight of each loss by name.
        vgg: the file that `feature` needs.

    Raises:
        ConfigError: there is no such loss, or `feature` has no file.
    """

    def __init__(self, weights: Mapping[str, float] | None = None, vgg: str = "") -> None:
        super().__init__()
        self.weights = dict(weights or {"l1": 1.0})
        unknown = sorted(set(self.weights) - set(LOSSES) - {"feature"})
        if unknown:
            raise ConfigError(
                f"there is no loss {', '.join(unknown)}: choose from {', '.join(LOSSES)}, feature"
            )
        if "feature" in self.weights and not vgg:
            raise ConfigError(
                "the loss feature needs vgg: a file with the weights of VGG-19, in safetensors"
            )
        self.feature = Feature(Path(vgg)) if "feature" in self.weights else None

    def forward(self, made: Tensor, truth: Tensor) -> tuple[Tensor, Parts]:
        """The sum, and its parts if there are several; "loss" is the sum."""
        values = {name: (LOSSES.get(name) or self.feature)(made, truth) for name in self.weights}  # type: ignore[misc]
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        parts = {name: value.detach() for name, value in values.items()} if len(values) > 1 else {}
        return total, {"loss": total.detach(), **parts}
