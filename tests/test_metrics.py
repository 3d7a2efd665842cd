import math

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio

from midframe.metrics import psnr


def test_psnr_equals_that_of_scikit_image_on_rounded_images() -> None:
    image, truth = torch.rand(2, 1, 3, 9, 11) * 1.2 - 0.1
    rounded = [(each.clamp(0, 1) * 255).round().numpy().astype(np.uint8) for each in (image, truth)]
    assert math.isclose(
        psnr(image, truth),
        peak_signal_noise_ratio(rounded[1], rounded[0], data_range=255),
        rel_tol=1e-9,
    )


def test_the_psnr_of_equal_images_is_infinite() -> None:
    assert psnr(torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.5)) == math.inf
