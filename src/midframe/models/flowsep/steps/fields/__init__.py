"""The fields from the outputs of the finest decoder."""
