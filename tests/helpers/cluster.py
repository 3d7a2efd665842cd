"""Machines and options for tests of the cluster."""

from typing import Any

from midframe.options import EncodingOptions, VideoOptions

STORE_BYTES = 78 * 2**20
"""About the smallest object store that Ray accepts."""
OPTIONS = VideoOptions(encoding=EncodingOptions(encoder_options={"x264-params": "mbtree=0"}))
"""On processors with AVX-512 two runs of x264 differ with its macroblock tree."""


def add_machine(cluster: Any) -> Any:
    """Add a machine of two cores."""
    return cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
