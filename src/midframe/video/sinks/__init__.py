"""Sinks of results: video files, animations, image sequences, pipes and comparisons."""
