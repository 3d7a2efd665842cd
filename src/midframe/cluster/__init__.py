"""The same work on the machines of a Ray cluster.

Only `connection` and `pool` import Ray.
"""
