from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.video import render_frame

from midframe.data.clips import read_clip
from midframe.errors import VideoError


def test_frames_are_rotated_upright_and_downscaled(render_video: Callable[..., Path]) -> None:
    clip = render_video(frames=4, size=(64, 96), rotation=90)
    assert {frame.image.shape for frame in read_clip(clip, 720)} == {(96, 64, 3)}
    small = [frame.image for frame in read_clip(clip, 32)]
    assert {image.shape for image in small} == {(48, 32, 3)}
    upright = np.rot90(render_frame(0), 1)
    expected = upright.reshape(48, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(small[0] - expected).mean() < 4


def test_the_first_frame_after_a_cut_is_marked(render_video: Callable[..., Path]) -> None:
    clip = render_video(frames=12, cut_at=5, sound=False)
    assert [frame.begins_scene for frame in read_clip(clip, 720)].index(True) == 5


def test_a_text_file_raises_a_video_error(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("text")
    with pytest.raises(VideoError):
        next(read_clip(tmp_path / "clip.mp4", 720))
