"""Data sets of frame sequences: choosing them from videos, storing them in shards, reading and varying them."""
