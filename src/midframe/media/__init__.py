"""Reading and writing of videos and images with exact times and all their streams, by FFmpeg and
Pillow.

It does not import PyTorch; `midframe.video` and `midframe.data` are built on it.
"""
