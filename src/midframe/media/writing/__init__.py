"""Writing results: encoders, containers, animations and pipes."""
