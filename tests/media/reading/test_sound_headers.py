"""Sound whose codec parameters change."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from fuzz import render_sound
from helpers.video import Averager

from midframe.media.reading.sound_headers import SoundHeaders
from midframe.media.streams.sound_format import (
    decode_sound,
)
from midframe.video.pipeline import interpolate_video


def test_sound_with_changing_codec_parameters_is_kept_to_its_end(tmp_path: Path) -> None:
    """One header of MP4 or Matroska cannot describe 48 kHz and 32 kHz."""
    source = tmp_path / "in.ts"
    chunk_lengths = [
        render_sound(tmp_path / f"{rate}.ts", "aac", layout, rate, Fraction(1))
        for rate, layout in ((48000, "stereo"), (32000, "mono"))
    ]
    source.write_bytes(b"".join(piece.read_bytes() for piece in chunk_lengths))
    for suffix, converted in (("mp4", 1), ("mkv", 1), ("ts", 0)):
        target = tmp_path / f"out.{suffix}"
        report = interpolate_video(source, target, model=Averager())
        assert (len(report.converted), report.problems) == (converted, ())
        with av.open(str(target)) as container:
            stream = container.streams.audio[0]
            heard = [
                (frame.samples / frame.sample_rate, float(np.abs(frame.to_ndarray()).mean()))
                for packet in container.demux(stream)
                for frame in decode_sound(stream.codec_context, packet)
            ]
        assert sum(seconds for seconds, _ in heard) > 1.9
        assert heard[-5][1] > 0.05


def test_a_single_damaged_header_does_not_cause_conversion(tmp_path: Path) -> None:
    path = render_sound(tmp_path / "in.ts", "aac", "stereo", seconds=Fraction(1))
    headers = SoundHeaders()
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(audio=0) if packet.size]
    for number, packet in enumerate(found):
        data = bytearray(bytes(packet))
        data[2] ^= 4 * (number in (3, 9))  # another sample rate
        damaged = av.Packet(bytes(data))
        damaged.stream = packet.stream
        headers.add(damaged)
    assert len(found) > 20
    assert not headers.changed
