"""Measuring networks on benchmarks."""
