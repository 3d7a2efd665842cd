"""Frames of decoders with special cases."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
from helpers.video import render_frame
from PIL import Image, ImageCms

READ = """
import gc
import sys
from pathlib import Path
from midframe.media.colour.side_data import side_data_of
from midframe.media.reading.sources import open_source
from midframe.options import SourceOptions

with open_source(Path(sys.argv[1]), SourceOptions()) as source:
    found = [side_data_of(frame.picture) for frame in source.read()]
gc.collect()
print(len(found), sum(map(len, found)))
"""


def write_png_video(path: Path, frames: int) -> Path:
    """Write a video of PNG images with an ICC profile, as some screen recorders do."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        for number in range(frames):
            file = io.BytesIO()
            Image.fromarray(render_frame(number)).save(file, "png", icc_profile=profile)
            packet = av.Packet(file.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            packet.is_keyframe = True
            container.mux(packet)
    return path


def test_icc_profiles_of_png_frames_do_not_crash_the_process(tmp_path: Path) -> None:
    path = write_png_video(tmp_path / "a.mov", frames=12)
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["12", "0"]), done.stderr
