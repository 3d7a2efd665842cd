"""Datasets of frame sequences: extraction from videos, storage, reading, augmentation."""
