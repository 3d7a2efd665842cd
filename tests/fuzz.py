"""Fuzzing with damaged videos: interpolation must end with a clear error or a complete result, and
leave no unfinished files.

    python tests/fuzz.py [--sound] [COUNT] [SEED]

With --sound, the videos have sound of many codecs and subtitles, and most of the damage is in
these; the results have various containers, and some are in slow motion.

Each case is a small video with some bits flipped, its end cut off, or blocks of it swapped,
overwritten or omitted. It is interpolated in a separate process, so that a crash of the interpreter
is detected too.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np

from midframe.errors import MidframeError
from midframe.video.pipeline import interpolate_video

SECONDS = 60
"""Timeout of a case in seconds."""
KEPT = "refused, but finished segments were kept"
"""If only the sound is damaged, the work can be resumed without it."""
DAMAGES: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bits": lambda data, rng: flip_bits(data, rng),
    "cut short": lambda data, rng: bytes(data[: rng.randrange(len(data))]),
    "swapped": lambda data, rng: swap_blocks(data, rng),
    "overwritten": lambda data, rng: overwrite_block(data, rng),
    "omitted": lambda data, rng: omit_block(data, rng),
}


def flip_bits(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 40)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def swap_blocks(data: bytearray, rng: random.Random) -> bytes:
    size = rng.randint(1, max(1, len(data) // 4))
    one, other = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )
    return bytes(data)


def overwrite_block(data: bytearray, rng: random.Random) -> bytes:
    size, begin = rng.randint(1, 400), rng.randrange(len(data))
    data[begin : begin + size] = rng.randbytes(len(data[begin : begin + size]))
    return bytes(data)


def omit_block(data: bytearray, rng: random.Random) -> bytes:
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.randint(1, 2000)]
    return bytes(data)


def render_sources(folder: Path) -> list[Path]:
    """Render a video for each container, with sound if the container supports it."""
    from helpers.sample_videos import VIDEO_SPECS, VideoSpec, render
    from helpers.video import Averager

    paths = [
        render(source, folder)
        for name, source in VIDEO_SPECS.items()
        if name in ("plain", "matroska", "quicktime", "webm")
    ]
    paths += [render(VIDEO_SPECS[name], folder) for name in ("avi", "transport stream")]
    interpolate_video(
        render(VideoSpec("small.mkv", frames=6), folder), folder / "in.gif", model=Averager()
    )
    return [*paths, folder / "in.gif"]


SOUNDS = (
    ("mp4", "aac", "stereo"), ("mp4", "ac3", "5.1(side)"), ("mp4", "libmp3lame", "stereo"),
    ("mp4", "flac", "stereo"),
    ("mkv", "aac", "5.1"), ("mkv", "libopus", "stereo"), ("mkv", "flac", "7.1"),
    ("mkv", "eac3", "5.1(side)"),
    ("mkv", "pcm_s16le", "stereo"), ("mkv", "pcm_f32le", "16 channels"),
    ("mkv", "wavpack", "stereo"),
    ("mov", "alac", "stereo"), ("mov", "pcm_s24le", "9 channels"), ("mov", "pcm_mulaw", "mono"),
    ("mov", "adpcm_ima_qt", "stereo"), ("avi", "pcm_s16le", "stereo"),
    ("avi", "libmp3lame", "stereo"),
    ("avi", "adpcm_ms", "stereo"), ("avi", "wmav2", "stereo"), ("webm", "libopus", "5.1"),
    ("ts", "aac", "stereo"), ("ts", "mp2", "stereo"), ("ts", "ac3", "stereo"),
)  # fmt: skip
"""Container, encoder and channel layout of videos whose sound is damaged."""
TEXTS = {"mp4": "mov_text", "mov": "mov_text", "mkv": "ass", "webm": "webvtt"}


def render_sounds(folder: Path) -> list[Path]:
    """Render a small video for each of `SOUNDS`, with subtitles if the container supports them."""
    return [
        render_sound(folder / f"{number}.{each[0]}", *each[1:])
        for number, each in enumerate(SOUNDS)
    ]


def render_sound(
    path: Path, encoder: str, layout: str, rate: int = 48000, seconds: Fraction = Fraction(1, 2)
) -> Path:
    """Render a video of 25 frames per second with noise as its sound."""
    from helpers.streams import subtitle
    from helpers.video import render_frame

    from midframe.media.streams.subtitles import ASS_HEADER

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream(encoder, rate, layout=layout)
        if encoder == "wmav2":
            track.bit_rate = 128_000
        subtitle_codec = TEXTS.get(path.suffix[1:])
        text: Any = container.add_stream(subtitle_codec) if subtitle_codec else None
        if text:
            text.codec_context.subtitle_header = ASS_HEADER
            text.time_base = text.codec_context.time_base = Fraction(1, 1000)
        for index in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        rng = np.random.default_rng(0)
        for begin in range(0, round(seconds * rate), 1024):
            noise = rng.uniform(-0.3, 0.3, (1, 1024 * track.codec_context.layout.nb_channels))
            samples = av.AudioFrame.from_ndarray(
                noise.astype(np.float32), format="flt", layout=layout
            )
            samples.sample_rate, samples.pts, samples.time_base = rate, begin, Fraction(1, rate)
            container.mux(track.encode(samples))
        container.mux(track.encode(None))
        for begin in range(0, 400, 200) if text else ():
            container.mux(subtitle(text, begin, begin + 150, "Some text"))
    return path


def packet_positions(path: Path) -> list[tuple[int, int]]:
    """Return the position and size in the file of each packet that is not video."""
    with av.open(str(path)) as container:
        packets = container.demux(
            [stream for stream in container.streams if stream.type != "video"]
        )
        return [
            (packet.pos, packet.size)
            for packet in packets
            if packet.size and packet.pos is not None
        ]


def damage_packets(data: bytearray, rng: random.Random, positions: list[tuple[int, int]]) -> bytes:
    """Damage some packets that are not video, and sometimes a byte before them."""
    for begin, size in rng.sample(positions, min(len(positions), rng.randint(1, 4))):
        end = min(len(data), begin + size)
        if rng.random() < 0.3:
            data[begin:end] = rng.randbytes(max(0, end - begin))
        for _ in range(rng.randint(1, 8)):
            offset = rng.randrange(max(0, begin - 16), max(begin, end))
            data[min(offset, len(data) - 1)] ^= 1 << rng.randrange(8)
    return bytes(data)


def attempt(source: Path, target: Path, **options: Any) -> str:
    """Interpolate a case and return its outcome."""
    from helpers.video import Averager

    try:
        report = interpolate_video(source, target, model=Averager(), cut_threshold=10, **options)
    except MidframeError as error:
        if target.exists():
            return "a file under the final name after an error"
        return KEPT if "--resume continues from there" in str(error) else "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return (
        "complete"
        if target.exists() and not report.problems
        else "complete, with reported problems"
    )


def fuzz(count: int, seed: int = 0, *, sound: bool = False) -> Counter[str]:
    """Interpolate damaged videos and count the outcomes."""
    rng, outcomes = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = [
            (path, path.read_bytes())
            for path in (render_sounds if sound else render_sources)(folder)
        ]
        positions = {path: packet_positions(path) for path, _ in videos} if sound else {}
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        for number in range(count):
            path, data = rng.choice(videos)
            damage = rng.choice([*sorted(DAMAGES), *["sound"] * 10] if sound else sorted(DAMAGES))
            case, target, options = folder / f"case{path.suffix}", folder / "result.mkv", {}
            if sound:
                target, options = choose_result(folder, rng)
            damaged = bytearray(data)
            case.write_bytes(
                damage_packets(damaged, rng, positions[path])
                if damage == "sound"
                else DAMAGES[damage](damaged, rng)
            )
            try:
                outcome = pool.submit(attempt, case, target, **options).result(timeout=SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                case_name = f"{path.name}, {damage}, {target.suffix}, {options}"
                outcome = f"{type(error).__name__} ({case_name}, number {number} of seed {seed})"
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            remaining = [
                each for each in folder.iterdir() if "result" in each.name and each != target
            ]
            if outcome == KEPT and [each.name for each in remaining] == [f"{target.name}.midframe"]:
                shutil.rmtree(remaining.pop())
            outcomes[
                f"{[each.name for each in remaining]} left behind: {outcome}"
                if remaining
                else outcome
            ] += 1
            target.unlink(missing_ok=True)
            for each in remaining:
                shutil.rmtree(each, ignore_errors=True)
        pool.shutdown()
    return outcomes


def choose_result(folder: Path, rng: random.Random) -> tuple[Path, dict[str, Any]]:
    """Choose the container of a result, sometimes slow motion, and the options for it."""
    target = folder / f"result.{rng.choice(('mkv', 'mp4', 'mov', 'webm'))}"
    options: dict[str, Any] = (
        {"codec": "vp9", "preset": None} if target.suffix == ".webm" else {"codec": "ffv1"}
    )
    if target.suffix in (".mp4", ".mov"):
        options = {"codec": "h264", "preset": "ultrafast"}
    return target, options | ({"slow": 2} if rng.random() < 0.4 else {})


if __name__ == "__main__":
    begin = time.monotonic()
    numbers = [int(each) for each in sys.argv[1:] if each != "--sound"]
    outcomes = fuzz(*(numbers[:2] or [1000]), sound="--sound" in sys.argv)
    for outcome, times in outcomes.most_common():
        print(f"{times:6}  {outcome}")
    print(f"{sum(outcomes.values())} damaged videos in {time.monotonic() - begin:.0f} s")
