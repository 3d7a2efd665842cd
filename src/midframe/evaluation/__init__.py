"""Score networks on benchmarks and videos; visualise their outputs."""
