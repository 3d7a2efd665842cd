"""Interpolating many videos with the same options."""
