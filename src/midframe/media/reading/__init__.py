"""Sources as frames with exact times: videos, image sequences, animations and pipes."""
