"""Where results go: video files, animations, image sequences, pipes and comparisons."""
