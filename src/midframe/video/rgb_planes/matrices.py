"""Matrices between luma and chroma and RGB."""

import numpy as np

from midframe.media.colour.conversion import BT709, LUMA_WEIGHTS, YCGCO, Colour, rgb_to_ycbcr
from midframe.media.pictures.images import Array


def rgb_to_planes_matrix(colour: Colour) -> Array:
    """Return the matrix (3, 3) from RGB to luma and both chromas. For unknown ones it is BT.709,
    which is correct since the conversion is inverted afterwards."""
    known = colour.matrix in LUMA_WEIGHTS or colour.matrix == YCGCO
    return rgb_to_ycbcr(colour.matrix if known else BT709)


def chroma_weights(colour: Colour) -> list[list[float]]:
    """Return the weights of both chromas in R, G and B; that of luma is 1 in each."""
    weights: list[list[float]] = np.linalg.inv(rgb_to_planes_matrix(colour))[:, 1:].tolist()
    return weights
