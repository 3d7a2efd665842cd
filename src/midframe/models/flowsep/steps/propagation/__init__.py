"""Flow propagation: a pixel takes the flow of a nearby pixel if that aligns both frames better."""
