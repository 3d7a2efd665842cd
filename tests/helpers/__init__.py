"""What several tests share: rendered films, stand-ins for networks, readers of results."""
