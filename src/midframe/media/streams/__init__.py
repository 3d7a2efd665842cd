"""The streams beside the picture: copied, converted, or reported as left out."""
