"""Train networks on datasets: settings, losses, the loop, its curves."""
