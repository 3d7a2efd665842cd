"""Scores of networks on benchmarks and videos, and figures of their outputs."""
