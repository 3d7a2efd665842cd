"""The same work on the machines of a Ray cluster.

Only `connection`, `executor` and `pool` import Ray.
"""
