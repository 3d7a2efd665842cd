"""Sound, subtitles, chapters, fonts and covers in results."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.streams import (
    FONT,
    LINES,
    RATE,
    chapters_of,
    describe_streams,
    render_rich,
    render_texts,
    texts_of,
)
from helpers.video import Averager, render_frame

from midframe.video.pipeline import interpolate_video

Packets = Callable[[Path, str], list[tuple[Any, ...]]]
SPOKEN = [(Fraction(begin, 1000), Fraction(end, 1000), line) for begin, end, line in LINES]


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [("in.mkv", "out.mkv", "subrip"), ("in.mkv", "out.mp4", "mov_text"),
    ("in.mp4", "out.mp4", "mov_text"),
     ("in.mp4", "out.mkv", "subrip"), ("in.mkv", "out.mov", "mov_text")],
)  # fmt: skip
def test_all_audio_and_subtitle_streams_and_chapters_are_kept(
    packets: Packets, tmp_path: Path, source: str, target: str, text: str
) -> None:
    before = render_rich(tmp_path / source, "subrip" if source.endswith("mkv") else "mov_text")
    report = interpolate_video(before, tmp_path / target, model=Averager())
    after = tmp_path / target
    assert not report.problems
    kinds, german = describe_streams(after), "ger" if target.endswith("mov") else "deu"
    assert [each[1:] for each in kinds if each[0] == "audio"] == [("aac", german), ("aac", "eng")]
    assert [each[1:] for each in kinds if each[0] == "subtitle"] == [(text, german), (text, "eng")]
    assert [data for data, _, _ in packets(after, "audio")] == [
        data for data, _, _ in packets(before, "audio")
    ]
    assert texts_of(after) == texts_of(before) == SPOKEN
    for old, new in zip(chapters_of(before), chapters_of(after), strict=True):
        assert new[2] == old[2]
        assert abs(new[0] - old[0]) < Fraction(
            1, 40
        )  # Matroska moves everything, so that no sound comes before 0
    assert len(report.converted) == (0 if source[-3:] == target[-3:] else 2)
    with av.open(str(after)) as container:
        assert container.metadata["title" if "title" in container.metadata else "TITLE"] == "Film"
        described_sound = (
            container.streams.audio[1].disposition & av.stream.Disposition.visual_impaired
        )
        assert described_sound or target.endswith("mov")  # QuickTime files have no place for that


def test_fonts_and_covers_are_kept_in_matroska_and_reported_elsewhere(tmp_path: Path) -> None:
    source = render_rich(tmp_path / "in.mkv")
    kept = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert (kept.dropped, kept.problems) == ((), ())
    assert kept.streams == {"audio": 2, "subtitle": 2, "video": 1}
    with av.open(str(tmp_path / "out.mkv")) as container:
        fonts = [stream for stream in container.streams if stream.type == "attachment"]
        assert [(font.metadata["filename"], font.data) for font in fonts] == [("font.ttf", FONT)]
        covers = [
            s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic
        ]
        shown = next(container.decode(covers[0])).to_ndarray(format="rgb24")
        assert len(covers) == 1
        assert (shown == (255, 0, 0)).all()
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert len(report.dropped) == 1
    assert not report.problems
    assert "font.ttf: only .mkv files hold attachments" in report.dropped[0]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [
            bool(s.disposition & av.stream.Disposition.attached_pic)
            for s in container.streams.video
        ] == [
            False,
            True,
        ]


def loudest_frequency(path: Path) -> float:
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        rate = container.streams.audio[0].rate
    heard = samples[rate // 4 : rate // 4 + rate]
    return float(np.argmax(abs(np.fft.rfft(heard))) * rate / len(heard))


@pytest.mark.slow
@pytest.mark.parametrize("slow", [2, 2.5, 4])
def test_slow_motion_stretches_all_streams_and_keeps_the_pitch(
    packets: Packets, tmp_path: Path, slow: float
) -> None:
    source, target = render_rich(tmp_path / "in.mkv", frames=48), tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), slow=slow)
    assert report.frames_out == 48 * slow
    assert not report.problems
    times = [pts for _, pts, _ in packets(target, "video")]
    assert abs(max(times) - min(times) + Fraction(1, RATE) - 2 * Fraction(slow)) < Fraction(1, 500)
    ends = [
        max(pts + duration for _, pts, duration in packets(path, "audio"))
        for path in (source, target)
    ]
    assert abs(ends[1] - ends[0] * Fraction(slow)) < Fraction(1, 10)
    assert abs(loudest_frequency(target) - loudest_frequency(source)) < 5
    scaled = [tuple(edge * Fraction(slow) for edge in each[:2]) for each in SPOKEN]
    assert [each[:2] for each in texts_of(target)] == scaled
    assert [each[0] for each in chapters_of(target)] == [
        each[0] * Fraction(slow) for each in chapters_of(source)
    ]


def test_mute_drops_sound(tmp_path: Path) -> None:
    source = render_rich(tmp_path / "in.mkv")
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager(), mute=True, slow=3)
    assert "audio" not in {kind for kind, _, _ in describe_streams(tmp_path / "out.mkv")}
    assert not report.dropped


def test_unsupported_sound_is_converted_and_reported(packets: Packets, tmp_path: Path) -> None:
    source, target = render_rich(tmp_path / "in.mkv"), tmp_path / "out.webm"
    report = interpolate_video(source, target, model=Averager(), codec="vp9")
    assert [each[:2] for each in describe_streams(target) if each[0] != "video"] == [
        ("audio", "opus")
    ] * 2 + [("subtitle", "webvtt")] * 2
    assert not report.problems
    assert report.converted[0] == "audio stream 1 (aac sound becomes opus)"
    ends = [
        max(pts + duration for _, pts, duration in packets(path, "audio"))
        for path in (source, target)
    ]
    assert abs(ends[1] - ends[0]) < Fraction(1, 20)
    assert abs(loudest_frequency(target) - loudest_frequency(source)) < 5


def test_titles_in_an_old_code_page_and_odd_chapters_are_kept(tmp_path: Path) -> None:
    source = render_texts(tmp_path / "in.mkv", "subrip", [(100, 300, b"One")])
    with av.open(str(source)) as container, av.open(str(tmp_path / "old.avi"), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        copy.metadata["title"] = "Sommer in XX"
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    old = (tmp_path / "old.avi").read_bytes()
    (tmp_path / "old.avi").write_bytes(old.replace(b"Sommer in XX", b"Sommer in \xd6\xdf"))
    interpolate_video(tmp_path / "old.avi", tmp_path / "out.mp4", model=Averager())
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "Sommer in \u00d6\u00df"


def test_fonts_without_a_name_or_a_type_are_kept(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        video = container.add_stream("mpeg4", RATE)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        container.add_attachment("", "", FONT)
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    report = interpolate_video(tmp_path / "in.mkv", tmp_path / "out.mkv", model=Averager())
    assert (report.dropped, report.problems) == ((), ())
    with av.open(str(tmp_path / "out.mkv")) as container:
        fonts = [stream for stream in container.streams if stream.type == "attachment"]
        assert [font.data for font in fonts] == [FONT]
