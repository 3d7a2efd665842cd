"""Streams that fail while they are written."""

from pathlib import Path
from typing import Any

import av
import pytest
from helpers.sound import codec_for, render_tone
from helpers.video import Averager

from midframe.errors import SourceError
from midframe.media.writing import writer
from midframe.video.pipeline import interpolate_video


def test_a_stream_that_fails_in_the_trailer_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written again without it."""
    source = render_tone(tmp_path / "in.mkv", "ac3")
    failed: list[bool] = []
    original = writer.VideoWriter.finish

    def finish(self: Any) -> None:
        if not failed:
            failed.append(True)
            raise writer.StreamsFailed([1], "ac3: cannot be written")
        original(self)

    monkeypatch.setattr(writer.VideoWriter, "finish", finish)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ("audio stream 1 (ac3: cannot be written)",)
    assert report.streams == {}
    assert not report.problems


@pytest.mark.parametrize("name", ["out.mkv", "out.webm"])
def test_damaged_sound_is_refused_in_strict_mode(tmp_path: Path, name: str) -> None:
    source, target = render_tone(tmp_path / "in.mkv", "flac"), tmp_path / name
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = [bytes(each) for each in container.demux(audio=0) if each.size][8]
    place = data.index(packet)
    data[place : place + len(packet)] = bytes(len(packet))
    source.write_bytes(data)
    options: dict[str, Any] = {"model": Averager(), "codec": codec_for(target.suffix[1:])}
    with pytest.raises(SourceError, match="is damaged: audio stream 1"):
        interpolate_video(source, target, strict=True, **options)
    assert not target.exists()
    assert interpolate_video(source, target, resume=True, **options).problems == ()
