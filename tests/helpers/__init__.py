"""Shared by several tests: rendered videos, stand-ins for networks, readers of results."""
