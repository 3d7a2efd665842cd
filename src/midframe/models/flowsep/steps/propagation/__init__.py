"""Flow propagation: a pixel takes the flow of a nearby pixel, or a dominant
motion of the frame, if that aligns both frames better."""
