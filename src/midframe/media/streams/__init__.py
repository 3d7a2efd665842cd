"""The streams other than the video: copied, converted, or reported as dropped."""
