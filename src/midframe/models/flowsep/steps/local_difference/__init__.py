"""The difference of two frames at the same place, at full resolution, downsampled by its
maximum."""
