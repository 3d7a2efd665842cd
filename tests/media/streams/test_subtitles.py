"""Subtitles that are copied or converted."""

from fractions import Fraction
from pathlib import Path

import av
from helpers.streams import describe_streams, render_texts, texts_of
from helpers.video import Averager

from midframe.media.streams.output_streams import CopiedStream, Losses, end_of_composition
from midframe.video.pipeline import interpolate_video


def test_subtitles_without_an_end_are_shown_until_the_next_one(tmp_path: Path) -> None:
    source = render_texts(
        tmp_path / "in.mkv", "subrip", [(100, 0, b"One"), (600, 300, b"Two"), (1000, 0, b"Three")]
    )
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert not report.problems
    shown = [
        (float(begin), float(end), text) for begin, end, text in texts_of(tmp_path / "out.mp4")
    ]
    assert shown == [(0.1, 0.6, "One"), (0.6, 0.9, "Two"), (1.0, 5.0, "Three")]


def test_a_subtitle_ends_with_the_time_range(tmp_path: Path) -> None:
    source = render_texts(tmp_path / "in.mkv", "subrip", [(100, 700, b"One"), (900, 900, b"Two")])
    interpolate_video(source, tmp_path / "out.mkv", model=Averager(), start=0.5, end=1.5)
    shown = [
        (round(float(begin), 2), round(float(end), 2), text)
        for begin, end, text in texts_of(tmp_path / "out.mkv")
    ]
    assert shown == [(0.0, 0.3, "One"), (0.4, 1.0, "Two")]


def test_undecodable_subtitles_are_dropped_and_reported(tmp_path: Path) -> None:
    source = render_texts(
        tmp_path / "in.mp4", "mov_text", [(100, 300, b"\0\3One"), (500, 300, b"\0\xffX")]
    )
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert texts_of(tmp_path / "out.mkv")[0][2] == "One"
    assert report.streams == {"subtitle": 1}


def test_a_caption_stream_becomes_subtitles_at_its_times(tmp_path: Path) -> None:
    def pairs(*codes: int) -> bytes:
        return b"".join(b"\xfc" + code.to_bytes(2, "big") for code in codes)

    load, show, clear = pairs(0x9420, 0x94AE, 0x9470, 0xC8E9), pairs(0x942F), pairs(0x942C)
    events = [
        (200, 40, load),
        (400, 40, show),
        (1000, 40, clear),
        (1200, 40, load),
        (1400, 40, show),
    ]
    source = render_texts(tmp_path / "in.mov", "eia_608", events)
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert report.converted == ("subtitle stream 1 (eia_608 subtitles become subrip)",)
    shown = [(float(begin), float(end)) for begin, end, _ in texts_of(tmp_path / "out.mkv")]
    assert shown[0] == (0.4, 1.0)
    assert shown[1][0] == 1.4
    interpolate_video(source, tmp_path / "out.mov", model=Averager())
    assert describe_streams(tmp_path / "out.mov")[1][1] == "eia_608"


PGS = bytes.fromhex("16000b0030002010000080000000800000")
"""An empty composition, and its end."""


def test_bitmap_subtitles_are_copied_to_matroska_and_reported_elsewhere(tmp_path: Path) -> None:
    source = render_texts(tmp_path / "in.mkv", "hdmv_pgs_subtitle", [(100, 0, PGS), (600, 0, PGS)])
    kept = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert (kept.dropped, kept.streams, kept.problems) == ((), {"subtitle": 1}, ())
    for suffix in ("mp4", "mov"):
        report = interpolate_video(source, tmp_path / f"out.{suffix}", model=Averager())
        assert report.dropped == (
            f"subtitle stream 1 (hdmv_pgs_subtitle: {suffix} files cannot hold it)",
        )


def test_bitmap_subtitles_are_copied_to_the_transport_streams_of_discs(tmp_path: Path) -> None:
    source = render_texts(tmp_path / "in.mkv", "hdmv_pgs_subtitle", [(100, 0, PGS), (600, 0, PGS)])
    kept = interpolate_video(source, tmp_path / "out.m2ts", model=Averager())
    assert (kept.dropped, kept.streams, kept.problems) == ((), {"subtitle": 1}, ())


def test_data_after_the_end_of_a_bitmap_subtitle_is_not_written(tmp_path: Path) -> None:
    """FFmpeg would write it into the first stream, the video."""
    assert end_of_composition(PGS) == end_of_composition(PGS + b"\0\x80\0\0") == len(PGS)
    assert end_of_composition(PGS[:-3]) == len(PGS) - 3
    assert end_of_composition(b"\x16\xff\xff\0") == 0
    source = render_texts(tmp_path / "in.mkv", "hdmv_pgs_subtitle", [(100, 0, PGS)])
    losses = Losses("subtitle stream 1")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mkv"), "w") as result:
        stream = container.streams.subtitles[0]
        output = CopiedStream(stream, result, Fraction(1), losses)
        packet = av.Packet(PGS + b"\0\x80\0\0")
        packet.stream, packet.time_base, packet.pts = stream, Fraction(1, 1000), 100
        assert [(bytes(each), each.pts) for each in output.packets(packet)] == [(PGS, 100)]
    assert losses.texts() == [
        "subtitle stream 1: data after the end of a bitmap subtitle is dropped at 0.10 s"
    ]


def test_overlapping_subtitles_keep_their_times_in_formats_without_overlap(tmp_path: Path) -> None:
    events = [(100, 700, b"Talk"), (300, 300, b"Sign"), (300, 100, b"Map"), (900, 100, b"More")]
    source = render_texts(tmp_path / "in.mkv", "subrip", events)
    for suffix in ("mp4", "mov"):
        report = interpolate_video(source, tmp_path / f"out.{suffix}", model=Averager())
        assert not report.problems
        shown = [
            (round(float(begin), 3), round(float(end), 3), text)
            for begin, end, text in texts_of(tmp_path / f"out.{suffix}")
        ]
        assert shown == [
            (0.1, 0.3, "Talk"),
            (0.3, 0.4, "Talk\\NSign\\NMap"),
            (0.4, 0.6, "Talk\\NSign"),
            (0.6, 0.8, "Talk"),
            (0.9, 1.0, "More"),
        ]
