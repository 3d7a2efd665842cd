"""Copied packets: their times, and losses."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.sound import render_tone, tone_begins
from helpers.video import Averager

from midframe.media.streams.output_streams import (
    CopiedStream,
    Losses,
    RisingTimes,
    TimeOutlierFilter,
)
from midframe.video.pipeline import interpolate_video


def new_packet(
    pts: int | None, dts: int | None, duration: int = 10, base: Fraction = Fraction(1, 1000)
) -> av.Packet:
    packet = av.Packet(b"x")
    packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, base
    return packet


class Stream:
    time_base = Fraction(1, 1000)


def test_decoding_times_increase_whatever_they_were() -> None:
    times = RisingTimes(equal=False)
    given = [(0, 0), (10, 10), (10, 10), (None, None), (5, 5), (None, 60), (2**63 - 1, 2**63 - 1)]
    mended = [times.fix(new_packet(*each), Stream()) for each in given]
    assert [each.dts for each in mended] == [0, 10, 11, 21, 22, 60, 70]
    assert all(each.pts >= each.dts for each in mended)
    equal = RisingTimes(equal=True)
    assert [equal.fix(new_packet(each, each), Stream()).dts for each in (0, 10, 10, 5)] == [
        0,
        10,
        10,
        10,
    ]


def test_times_increase_in_the_coarser_time_base_of_the_result() -> None:
    times, fine = RisingTimes(equal=False), Fraction(1, 90000)
    mended = [times.fix(new_packet(each, each, 1, fine), Stream()) for each in (0, 1, 2)]
    assert [each.dts for each in mended] == [0, 1, 2]


def test_a_single_wrong_time_is_detected_by_the_next_packet() -> None:
    losses = Losses("audio stream 1")
    place = TimeOutlierFilter(losses)
    given = [0, 10, 36_000_000, 30, 40, 5000, 5010]
    found = [each for time in given for each in place.feed(new_packet(time, time))] + list(
        place.flush()
    )
    assert [each.pts for each in found] == [0, 10, 20, 30, 40, 5000, 5010]
    assert losses.texts() == [
        "audio stream 1: a packet with a wrong time of 36000.00 s is placed at 0.02 s"
    ]


def test_losses_near_each_other_are_reported_as_one() -> None:
    losses = Losses("audio stream 1")
    for time in (1, 2, 30):
        losses.note("a packet is lost", Fraction(time, 10), Fraction(time + 1, 10))
    assert losses.texts() == [
        "audio stream 1: a packet is lost from 0.10 s to 0.30 s (2 packets)",
        "audio stream 1: a packet is lost at 3.00 s",
    ]


def test_a_damaged_packet_of_copied_sound_is_dropped_and_its_time_reported(
    tmp_path: Path,
) -> None:
    source, losses = render_tone(tmp_path / "in.mkv", "mp2", chunk=1152), Losses("audio stream 1")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mkv"), "w") as result:
        stream = container.streams.audio[0]
        output = CopiedStream(stream, result, Fraction(1), losses)
        given = [each for each in container.demux(stream) if each.size]
        given[10].is_corrupt = True
        found = [each for one in given for each in output.packets(one)]
        assert len(found) == len(given) - 1
    assert losses.texts() == ["audio stream 1: a damaged packet is dropped at 0.23 s"]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["aac", "libmp3lame"])
def test_priming_in_matroska_is_no_timing_problem_at_high_frame_rates(
    tmp_path: Path, encoder: str
) -> None:
    source = render_tone(tmp_path / "in.mp4", encoder)
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager(), fps=240)
    assert not report.problems
    assert abs(tone_begins(tmp_path / "out.mkv") - 0.5) < 0.003
