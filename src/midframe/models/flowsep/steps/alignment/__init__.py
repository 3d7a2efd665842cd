"""How well the flows align both frames, compared with no motion."""
