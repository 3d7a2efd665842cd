"""Flow propagation: a pixel takes the flow of one nearby where it aligns both frames better."""
