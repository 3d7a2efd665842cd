"""How much two frames differ along the flows to them, where the mask prefers neither."""
