"""Samples of decoded frames: RGB and back, geometry, and the side data that describes them."""
