"""The display size in Matroska files, read again by FFmpeg and, if it is installed, by mkvinfo."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import av
import pytest
from helpers.video import render_frame

from midframe.media.writing.display_size import HEADER_BYTES, TRACKS, set_display_size


def render_seekable(path: Path, frames: int = 50) -> Path:
    """Render a seekable video with chapters and sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "mpeg4", 25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.options = {"cpu-used": "8", "g": "10"}
        container.add_stream("libopus", 48000, layout="stereo")
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(1, 2), Fraction(400)])
def test_the_display_size_is_written_and_all_else_is_kept(
    tmp_path: Path, suffix: str, aspect: Fraction
) -> None:
    path = render_seekable(tmp_path / f"in{suffix}")
    before = path.read_bytes()
    set_display_size(path, 96, 64, aspect)
    after = path.read_bytes()
    assert len(after) == len(before)
    assert after[HEADER_BYTES:] == before[HEADER_BYTES:]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert abs(stream.sample_aspect_ratio / aspect - 1) < Fraction(1, 90)
        assert sum(1 for _ in container.decode(video=0)) == 50
        container.seek(round(1 / stream.time_base), stream=stream)
        assert 0.5 < next(container.decode(video=0)).time <= 1


def test_checksums_are_updated(tmp_path: Path) -> None:
    path = render_seekable(tmp_path / "in.mkv")
    set_display_size(path, 96, 64, Fraction(2))
    data = path.read_bytes()
    start = data.index(TRACKS.to_bytes(4, "big"), 200) + 4  # the first one lies in the seek head
    length = 9 - data[start].bit_length()
    size = int.from_bytes(data[start : start + length], "big") - (1 << 7 * length)
    content = data[start + length : start + length + size]
    assert content[:2] == bytes([0xBF, 0x84])
    assert content[2:6] == crc32(content[6:]).to_bytes(4, "little")


@pytest.mark.skipif(not shutil.which("mkvinfo"), reason="mkvinfo is the independent reader")
def test_another_reader_finds_the_display_size(tmp_path: Path) -> None:
    path = render_seekable(tmp_path / "in.mkv")
    set_display_size(path, 96, 64, Fraction(4, 3))
    output = subprocess.run(
        ["mkvinfo", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "Display width: 128" in output
    assert "Display height: 64" in output
    assert "Display unit" not in output


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    path.write_bytes(b"no Matroska file at all")
    with pytest.raises(ValueError, match="no segment"):
        set_display_size(path, 96, 64, Fraction(2))
    assert path.read_bytes() == b"no Matroska file at all"
