"""Writing results: containers, encoders, and files that get their name when they are complete."""
