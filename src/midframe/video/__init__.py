"""Interpolation of whole videos, with exact times and all their streams."""
