"""Training a network on a data set: settings, losses, the loop, its curves."""
