from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

from midframe.media.reading.packet_survey import take_survey
from midframe.media.reading.survey import Survey

TICK = Fraction(1, 90000)


@dataclass
class Stream:
    index: int
    type: str = "video"
    codec_context: Any = None


@dataclass
class Packet:
    """The fields of a packet that a survey reads."""

    stream: Stream
    pts: int | None
    dts: int | None
    duration: int = 3600
    size: int = 100
    pos: int | None = 0
    time_base: Fraction = TICK
    is_discard: bool = False
    is_corrupt: bool = False

    def has_sidedata(self, name: str) -> bool:
        return False


VIDEO, SOUND = Stream(0), Stream(1, "audio")


def packets(
    times: Sequence[float], stream: Stream = VIDEO, first_place: int = 0, step: float = 0.04
) -> list[Packet]:
    ticks = [round(time / TICK) for time in times]
    return [
        Packet(stream, time, time, round(step / TICK), pos=first_place + 188 * number)
        for number, time in enumerate(ticks)
    ]


def survey(found: Sequence[Any], **options: bool) -> Survey:
    return take_survey(found, VIDEO, **{"uses_dts": False, "clock_jumps": True, **options})


def test_a_clock_with_an_offset_begins_at_zero_for_all_streams() -> None:
    found = survey(
        [
            *packets([40000 + n / 25 for n in range(25)]),
            *packets([39999.98 + n / 50 for n in range(50)], SOUND, 9000, 0.02),
        ]
    )
    assert found.shift == -Fraction(39999.98).limit_denominator(90000)
    assert found.times[0] == Fraction(1, 50)
    assert (found.spans[1].begin, found.end) == (0, Fraction(51, 50))


def test_sound_that_begins_shortly_before_zero_does_not_shift_the_video() -> None:
    found = survey(
        [*packets([n / 25 for n in range(5)]), *packets([-0.02, 0, 0.02], SOUND, 9000, 0.02)]
    )
    assert (found.shift, found.times[0]) == (0, 0)


def test_a_clock_that_wrapped_far_below_zero_begins_at_zero() -> None:
    assert survey(packets([n / 25 - 60 for n in range(5)])).times[0] == 0


@pytest.mark.parametrize("jump", [-100.0, -1.0, 7200.0])
def test_all_streams_continue_together_after_a_clock_restart(jump: float) -> None:
    picture = [n / 25 for n in range(50)] + [2 + jump + n / 25 for n in range(50)]
    sound = [n / 50 for n in range(100)] + [2 + jump + n / 50 for n in range(100)]
    both = [*packets(picture), *packets(sound, SOUND, 50, 0.02)]
    found = survey(both)
    assert found.times == tuple(Fraction(n, 25) for n in range(100))
    assert (found.jumps, found.spans[1].end) == ((2,), 4)
    corrected = [
        packet.pts * TICK for packet in found.correct_times(both) if packet.stream is SOUND
    ]
    assert corrected == [Fraction(n, 50) for n in range(200)]


def test_a_jump_ahead_is_a_gap_in_containers_without_clock_jumps() -> None:
    found = survey(packets([0, 0.04, 660, 660.04]), clock_jumps=False)
    assert (found.jumps, found.end) == ((), Fraction(66008, 100))


def test_unordered_timestamps_are_no_jump() -> None:
    assert survey(packets([0, 0.04, 0.08, 0.06, 0.12, 0.16])).jumps == ()


def test_reordered_presentation_times_are_no_jump() -> None:
    has_custom_order = [Packet(VIDEO, round(pts / TICK), None) for pts in (0, 0.6, 0.4)]
    has_custom_order.append(Packet(VIDEO, round(1.6 / TICK), 0))
    assert survey(has_custom_order).jumps == ()


def test_the_end_of_the_video_is_that_of_the_last_shown_frame() -> None:
    before_a_gap = Packet(VIDEO, round(0.12 / TICK), round(0.04 / TICK), duration=round(1 / TICK))
    packets = [
        Packet(VIDEO, 0, 0),
        before_a_gap,
        Packet(VIDEO, round(0.04 / TICK), round(1.04 / TICK)),
    ]
    assert survey(packets).end == Fraction(4, 25)


def test_containers_that_count_frames_use_decoding_order() -> None:
    tick = Fraction(1, 25)
    uses_dts = [
        Packet(VIDEO, pts, dts, 1, time_base=tick) for pts, dts in ((1, 0), (4, 1), (2, 2), (3, 3))
    ]
    empty = Packet(VIDEO, 4, 4, 1, size=0, time_base=tick)
    found = survey([*uses_dts, empty, Packet(VIDEO, 6, 5, 1, time_base=tick)], uses_dts=True)
    assert found.times == tuple(n * tick for n in (0, 1, 2, 3, 5))
    assert found.end == 6 * tick


def test_packets_that_an_edit_list_hides_are_not_counted() -> None:
    hidden = Packet(VIDEO, -3600, -3600, is_discard=True)
    assert survey([hidden, *packets([0, 0.04])]).times == (0, Fraction(1, 25))


def test_a_video_before_zero_begins_at_zero_with_its_sound() -> None:
    found = survey(
        [
            *packets([n / 25 - 0.6 for n in range(25)]),
            *packets([n / 50 - 0.7 for n in range(50)], SOUND, 9000, 0.02),
        ]
    )
    assert (found.spans[1].begin, found.times[0]) == (0, Fraction(1, 10))


def test_priming_samples_of_sound_do_not_shift_the_video() -> None:
    found = survey(
        [
            *packets([n / 25 for n in range(25)]),
            *packets([n / 50 - 0.02 for n in range(50)], SOUND, 9000, 0.02),
        ]
    )
    assert (found.shift, found.times[0]) == (0, 0)


def test_frames_without_times_precede_the_first_one_with_a_time() -> None:
    """FFmpeg reads no times of Matroska blocks before 0."""
    early = [Packet(VIDEO, None, None) for _ in range(5)]
    found = survey([*early, *packets([n / 25 for n in range(20)])], clock_jumps=False)
    assert found.times == tuple(Fraction(n, 25) for n in range(25))
    assert (found.shift, found.end, found.timed) == (Fraction(1, 5), 1, False)


def test_an_end_of_sequence_packet_does_not_make_useless_times_usable() -> None:
    """As in elementary Dirac streams, which FFmpeg counts in ticks."""
    ticks = [Packet(VIDEO, number, number) for number in range(25)]
    end = Packet(VIDEO, 3_000_000, 3_000_000)
    assert survey([*ticks, end], clock_jumps=False).has_no_times
    assert not survey(packets([0, 0.04, 5]), clock_jumps=False).has_no_times
