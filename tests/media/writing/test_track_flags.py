from pathlib import Path

import av
import pytest
from av.stream import Disposition
from helpers.streams import chapters_of, render_rich, texts_of
from helpers.video import Averager

from midframe.video.pipeline import interpolate_video


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("default", [None, 0, 1])
def test_disabled_subtitles_remain_disabled(
    tmp_path: Path, suffix: str, default: int | None
) -> None:
    source, target = render_rich(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    with av.open(str(source)) as given, av.open(str(tmp_path / "given.mkv"), "w") as container:
        kept = [*given.streams.video[:1], *given.streams.subtitles]
        copies = [container.add_stream_from_template(stream) for stream in kept]
        for number, stream in enumerate(copies[1:]):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        container.set_chapters(given.chapters())
        for packet in given.demux(kept):
            if packet.size:
                packet.stream = copies[kept.index(packet.stream)]
                container.mux(packet)
    report = interpolate_video(tmp_path / "given.mkv", target, model=Averager())
    assert not report.problems
    with av.open(str(target)) as container:
        texts = container.streams.subtitles
        assert [bool(each.disposition & Disposition.default) for each in texts] == [
            number == default for number in range(2)
        ]
    assert [text for *_, text in texts_of(target)] == ["Hello", "World"]
    assert len(chapters_of(target)) == 2
