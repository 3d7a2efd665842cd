"""Small videos of every format, from file to file, checked by an independent reader: ffprobe.

Each of `VIDEO_SPECS` is rendered with PyAV. `python -m pytest tests/video/test_matrix.py` runs all;
they are skipped without ffprobe (Debian: `apt-get install ffmpeg`).
"""

import json
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.sample_videos import VIDEO_SPECS, VideoSpec, render
from helpers.video import Averager

from midframe.video.pipeline import interpolate_video

pytestmark = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="there is no ffprobe here")


def probed(path: Path) -> dict[str, Any]:
    """Return the output of ffprobe for a file, with every video frame decoded."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-show_streams",
        "-show_format",
        "-count_frames",
        "-count_packets",
    ]
    command += ["-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def frame_times(path: Path) -> list[Fraction]:
    """Return the times of frames and the end of the last one, by ffprobe."""
    entries = "packet=pts,duration,flags:stream=time_base"
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        entries,
        "-of",
        "json",
        str(path),
    ]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    base = Fraction(found["streams"][0]["time_base"])
    shown = [
        packet for packet in found["packets"] if "D" not in packet["flags"]
    ]  # edit lists hide some
    packets = sorted((packet["pts"], packet.get("duration", 0)) for packet in shown)
    return [pts * base for pts, _ in packets] + [sum(packets[-1]) * base]


def of_type(found: dict[str, Any], media_type: str) -> list[dict[str, Any]]:
    return [stream for stream in found["streams"] if stream["codec_type"] == media_type]


KEPT = ("width", "height", "sample_aspect_ratio", "color_primaries", "color_transfer")


def languages(sounds: list[dict[str, Any]]) -> list[str]:
    """Return the languages of streams; some containers store an unknown one, others nothing."""
    return [each.get("tags", {}).get("language", "und") for each in sounds]


def rotations(stream: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rotation of the video."""
    return [
        each
        for each in stream.get("side_data_list", [])
        if each["side_data_type"] == "Display Matrix"
    ]


@pytest.mark.parametrize("name", VIDEO_SPECS)
def test_a_result_keeps_all_streams_times_and_properties_of_its_source(
    tmp_path: Path, name: str
) -> None:
    spec = VIDEO_SPECS[name]
    source, target = render(spec, tmp_path), tmp_path / spec.target
    report = interpolate_video(
        source, target, model=Averager(), codec=spec.result, **spec.video_options
    )
    assert (report.problems, report.dropped) == ((), ())
    before, after = probed(source), probed(target)
    old, new = of_type(before, "video")[0], of_type(after, "video")[0]
    assert int(new["nb_read_frames"]) == report.frames_out
    assert (
        report.frames_in
        == int(old["nb_read_frames"])
        == len(spec.times or range(spec.frames)) - spec.hidden
    )
    assert report.frames_kept == report.frames_in or "fps" in spec.video_options
    for fact in KEPT:
        assert new.get(fact) == old.get(fact), fact
    assert rotations(new) == rotations(old)
    assert bool(spec.rotation) == bool(rotations(new))
    assert new["color_space"] == old.get("color_space", "bt470bg")  # the default of players
    assert new.get("color_range") in (old.get("color_range"), "tv", None)
    if spec.colour[3] == 2:
        assert new["color_range"] == "pc"
    if spec.result == spec.encoder.removeprefix("lib").replace("x264", "h264").replace(
        "x265", "hevc"
    ):
        assert new["pix_fmt"].replace("yuvj", "yuv") == spec.pixel_format
    check_times(spec, source, target)
    check_sound(spec, before, after)
    for key, value in spec.metadata.items():
        assert value in (after["format"]["tags"].get(key), after["format"]["tags"].get(key.upper()))


def check_times(spec: VideoSpec, source: Path, target: Path) -> None:
    """Check the duration and the steps of the video."""
    old, new = frame_times(source), frame_times(target)
    slow = spec.video_options.get("slow", 1)
    step = new[1] - new[0] if len(new) > 1 else Fraction(1)
    assert abs((new[-1] - new[0]) - (old[-1] - old[0]) * slow) <= step + Fraction(1, 500)
    if "vfr" in spec.video_options:
        assert [time - new[0] for time in new[:-1:2]] == [time - old[0] for time in old[:-1]]
        return
    steps = {after - before for before, after in pairwise(new[:-1])}
    assert all(abs(each - step) <= Fraction(1, 500) for each in steps)


def check_sound(spec: VideoSpec, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check all streams: their packets, languages, and times relative to the video."""
    old, new = of_type(before, "audio"), of_type(after, "audio")
    if "mute" in spec.video_options:
        assert new == []
        return
    assert len(new) == len(old) == len(spec.sound)
    assert languages(new) == languages(old)
    if "slow" in spec.video_options:
        return
    assert [each["codec_name"] for each in new] == [each["codec_name"] for each in old]
    assert [each["nb_read_packets"] for each in new] == [each["nb_read_packets"] for each in old]
    leads = []
    for found, sounds in ((before, old), (after, new)):
        begin = float(of_type(found, "video")[0]["start_time"])
        leads.append([float(sound["start_time"]) - begin for sound in sounds])
    # Matroska counts the 1024 priming samples of an AAC encoder, and MP4 cuts them off.
    assert leads[1] == pytest.approx(
        leads[0], abs=2e-3 if spec.source[-3:] == spec.target[-3:] else 0.024
    )
