"""Languages, titles and dispositions of streams."""

from pathlib import Path

import av
from helpers.streams import render_rich
from helpers.video import Averager

from midframe.media.streams.stream_tags import TAGGED, StreamTags, tags_of
from midframe.video.pipeline import interpolate_video


def tags(path: Path) -> list[StreamTags]:
    with av.open(str(path)) as container:
        return [tags_of(stream) for stream in container.streams if stream.type in TAGGED]


def test_every_container_keeps_languages_and_titles(tmp_path: Path) -> None:
    source, titled = render_rich(tmp_path / "in.mkv", languages=("en", "zh-Hans")), []
    with av.open(str(source)) as given, av.open(str(tmp_path / "titled.mkv"), "w") as container:
        kept = [
            each for each in given.streams if each.type in ("video", *TAGGED) and each.time_base
        ]
        kept = [each for each in kept if not each.disposition & av.stream.Disposition.attached_pic]
        for stream in kept:
            titled.append(container.add_stream_from_template(stream))
            titled[-1].metadata["language"] = stream.metadata.get("language", "und")
            titled[-1].metadata["title"] = f"Track {len(titled)}"
            titled[-1].disposition = stream.disposition
        for packet in given.demux(kept):
            if packet.size:
                packet.stream = titled[kept.index(packet.stream)]
                container.mux(packet)
    report = interpolate_video(tmp_path / "titled.mkv", tmp_path / "out.mp4", model=Averager())
    assert [text for text in report.dropped if "language" in text] == [
        f"language zh-Hans (stored as zho) of {name} (.mp4 files cannot hold it)"
        for name in ("audio stream 2", "subtitle stream 4")
    ]
    interpolate_video(tmp_path / "out.mp4", tmp_path / "back.mkv", model=Averager())
    for name, languages in (("out.mp4", ("eng", "zho")), ("back.mkv", ("eng", "zho"))):
        found = tags(tmp_path / name)
        assert [each.language for each in found] == [*languages, *languages]
        assert [each.title for each in found] == [f"Track {number}" for number in (2, 3, 4, 5)]
        assert found[1].marks == ("visual_impaired",)


def test_unsupported_tags_are_reported(tmp_path: Path) -> None:
    source = render_rich(tmp_path / "in.mkv", sound="mp3")
    report = interpolate_video(source, tmp_path / "out.avi", model=Averager())
    assert (
        "language eng, visual impaired of audio stream 2 (.avi files cannot hold it)"
        in report.dropped
    )
