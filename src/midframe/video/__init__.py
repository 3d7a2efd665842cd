"""Videos as streams: read frames and packets, make frames between, write both with exact times."""
