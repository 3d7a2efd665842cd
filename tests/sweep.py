"""Test sound of every codec, from every container that supports it, into all containers of results,
measured with ffprobe.

    python tests/sweep.py [--all] [CODEC ...]

Each source is a small video with a tone that begins at 0.5 s, rendered with the ffmpeg program. It
is interpolated with the default codec. ffmpeg and ffprobe then measure source and result: when the
sound begins and ends relative to the video, when the tone begins, channels and sample rate. Prints
a Markdown table with one row for each codec, or with --all for each pair of files.
"""

import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from midframe.errors import MidframeError
from midframe.video.pipeline import interpolate_video

CODECS: dict[str, tuple[str, ...]] = {
    "aac": ("aac",), "mp3": ("libmp3lame",), "mp2": ("mp2",), "opus": ("libopus",),
    "vorbis": ("libvorbis",),
    "flac": ("flac",), "alac": ("alac",), "ac3": ("ac3",), "eac3": ("eac3",),
    "dts": ("dca", "-strict", "-2"),
    "truehd": ("truehd", "-strict", "-2"), "wavpack": ("wavpack",), "wmav2": ("wmav2",),
    "adpcm_ms": ("adpcm_ms",), "adpcm_ima_wav": ("adpcm_ima_wav",),
    "adpcm_ima_qt": ("adpcm_ima_qt",),
    "pcm_s16le": ("pcm_s16le",), "pcm_s16be": ("pcm_s16be",), "pcm_s24le": ("pcm_s24le",),
    "pcm_s24be": ("pcm_s24be",),
    "pcm_f32le": ("pcm_f32le",), "pcm_u8": ("pcm_u8",), "pcm_alaw": ("pcm_alaw",),
    "pcm_mulaw": ("pcm_mulaw",),
}  # fmt: skip
"""FFmpeg arguments for the encoder of each codec."""
VIDEO_ENCODERS = {
    "avi": "mpeg4", "wmv": "wmv2", "webm": "libvpx", "mkv": "libx264", "mov": "libx264",
    "mp4": "libx264", "ts": "libx264", "ogv": "libtheora", "flv": "flv",
}  # fmt: skip
"""Containers of sources, and their video encoder."""
RESULTS = ("mp4", "mkv", "mov", "webm")
TONE_AT = 0.5
"""Seconds."""
RATE = 48000
MIN_AMPLITUDE = 0.05


@dataclass(frozen=True)
class Measurement:
    """The sound of a file, measured by ffmpeg and ffprobe; times in seconds, relative to the start
    or the end of the video."""

    codec: str
    channels: int
    rate: int
    begin: float
    end: float
    tone: float


@dataclass(frozen=True)
class Pair:
    """A source and its result."""

    source: str
    result: str
    error: str
    before: Measurement | None = None
    after: Measurement | None = None
    converted: bool = False

    @property
    def shifts(self) -> tuple[float, float, float]:
        """The shifts of begin, end and tone relative to the video in milliseconds."""
        assert self.before
        assert self.after
        begin, end = self.after.begin - self.before.begin, self.after.end - self.before.end
        return begin * 1000, end * 1000, (self.after.tone - self.before.tone) * 1000


def render(folder: Path, codec: str, container: str) -> Path | None:
    """Render a video with a tone; return None if the container does not support the codec."""
    path = folder / f"{codec}.{container}"
    channel = f"if(gte(t,{TONE_AT}),0.4*sin(2*PI*440*t),0)"
    tone = f"aevalsrc='{channel}|{channel}':s={RATE}"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=96x64:r=25:d=1.2",
        "-f",
        "lavfi",
    ]
    command += [
        "-i",
        f"{tone}:d=1.2",
        "-c:v",
        VIDEO_ENCODERS[container],
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        *CODECS[codec],
    ]
    if (container, codec) == ("wmv", "flac"):
        return None  # ffprobe does not find its times
    completed = subprocess.run([*command, str(path)], capture_output=True, check=False)
    return path if completed.returncode == 0 and path.stat().st_size else None


def measure(path: Path) -> Measurement:
    """Measure the sound of a file with ffmpeg and ffprobe.

    Raises:
        ValueError: The file has no sound.
    """
    entries = (
        "frame=media_type,best_effort_timestamp_time,nb_samples:"
        "stream=codec_type,codec_name,channels,sample_rate"
    )
    command = [
        "ffprobe",
        "-v",
        "error",
        "-show_frames",
        "-show_streams",
        "-show_entries",
        entries,
        "-of",
        "json",
    ]
    output = json.loads(
        subprocess.run([*command, str(path)], capture_output=True, check=True).stdout
    )
    sounds = [stream for stream in output["streams"] if stream["codec_type"] == "audio"]
    if not sounds:
        raise ValueError("the file has no sound")
    frames = {
        stream_type: [f for f in output["frames"] if f["media_type"] == stream_type]
        for stream_type in ("video", "audio")
    }
    rate, sound_frames, video_times = (
        int(sounds[0]["sample_rate"]),
        frames["audio"],
        [float(f["best_effort_timestamp_time"]) for f in frames["video"]],
    )
    timed = [
        number for number, frame in enumerate(sound_frames) if "best_effort_timestamp_time" in frame
    ]
    before = (
        sum(frame["nb_samples"] for frame in sound_frames[: timed[0]]) / rate
    )  # some frames of Windows Media have no time
    rest = sum(frame["nb_samples"] for frame in sound_frames[timed[-1] :]) / rate
    begin = float(sound_frames[timed[0]]["best_effort_timestamp_time"]) - before - video_times[0]
    step = (video_times[-1] - video_times[0]) / (len(video_times) - 1)
    end = (
        float(sound_frames[timed[-1]]["best_effort_timestamp_time"]) + rest - video_times[-1] - step
    )
    return Measurement(
        sounds[0]["codec_name"],
        sounds[0]["channels"],
        rate,
        begin,
        end,
        _tone(path) - video_times[0],
    )


def _tone(path: Path) -> float:
    """Return the end of the silence in seconds from the start of the file."""
    command = ["ffmpeg", "-hide_banner", "-copyts", "-i", str(path), "-map", "0:a:0", "-f", "null"]
    completed = subprocess.run(
        [*command, "-af", f"silencedetect=noise={MIN_AMPLITUDE}:d=0.1", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"silence_end: ([0-9.-]+)", completed.stderr)
    return float(match[1]) if match else math.nan


def sweep(codecs: list[str], folder: Path) -> Iterator[Pair]:
    """Render, interpolate and measure; yield a pair for each source and result."""
    from helpers.video import Averager

    for codec in codecs:
        for container in VIDEO_ENCODERS:
            source = render(folder, codec, container)
            if source is None:
                continue
            try:
                before = measure(source)
            except (ValueError, KeyError, IndexError, StopIteration, subprocess.CalledProcessError):
                continue  # without sound, or with sound that ffprobe does not decode
            if before.codec.removeprefix("adpcm_") != codec.removeprefix("adpcm_"):
                continue  # ffmpeg chose another codec
            for suffix in RESULTS:
                target = folder / f"result.{suffix}"
                options = {"codec": "vp9"} if suffix == "webm" else {}
                try:
                    report = interpolate_video(
                        source, target, model=Averager(), overwrite=True, **options
                    )
                    after = measure(target)
                    problem = "; ".join(report.problems)
                    yield Pair(source.name, suffix, problem, before, after, bool(report.converted))
                except (MidframeError, ValueError, subprocess.CalledProcessError) as error:
                    yield Pair(source.name, suffix, str(error).splitlines()[0])


def row(pair: Pair) -> str:
    """Format a pair as a row of a table."""
    if pair.before is None or pair.after is None:
        return f"| {pair.source} | {pair.result} | {pair.error} | | | | | |"
    begin, end, tone = pair.shifts
    action = f"converted to {pair.after.codec}" if pair.converted else "copied"
    properties = (
        f"{pair.before.channels} -> {pair.after.channels} | {pair.before.rate} -> {pair.after.rate}"
    )
    error = f"; {pair.error}" if pair.error else ""
    times = f"{begin:+.1f} | {end:+.1f} | {tone:+.1f}"
    return f"| {pair.source} | {pair.result} | {action}{error} | {times} | {properties} |"


def cell(pairs: list[Pair]) -> str:
    """Summarise a codec in a container of results: copied or converted, and the largest shifts of
    begin, end and tone."""
    bad = [pair for pair in pairs if pair.error or pair.after is None or pair.after.rate == 0]
    good = [pair for pair in pairs if pair not in bad]
    actions = sorted(
        {f"to {pair.after.codec}" if pair.converted else "copied" for pair in good if pair.after}
    )
    texts = []
    for action in actions:
        shifts = [
            pair.shifts for pair in good
            if pair.after and action == (f"to {pair.after.codec}" if pair.converted else "copied")
        ]  # fmt: skip
        largest = (max((each[number] for each in shifts), key=abs) for number in range(3))
        texts.append(f"{action} {' / '.join(f'{each:+.0f}' for each in largest)}")
    return "; ".join([*texts, *(f"{pair.source}: {pair.error}" for pair in bad)])


def main() -> None:
    all_pairs = "--all" in sys.argv
    codecs = [each for each in sys.argv[1:] if each != "--all"] or list(CODECS)
    with tempfile.TemporaryDirectory() as name:
        pairs = list(sweep(codecs, Path(name)))
    if all_pairs:
        print("| source | result | sound | begin, ms | end, ms | tone, ms | channels | rate |")
        print("|---|---|---|---|---|---|---|---|")
        for pair in pairs:
            print(row(pair))
        return
    print(f"| sound | sources | {' | '.join('.' + each for each in RESULTS)} |")
    print("|---" * (len(RESULTS) + 2) + "|")
    for codec in codecs:
        pairs_of_codec = [pair for pair in pairs if pair.source.split(".")[0] == codec]
        sources = " ".join(sorted({pair.source.rpartition(".")[2] for pair in pairs_of_codec}))
        cells = (
            cell([pair for pair in pairs_of_codec if pair.result == suffix]) for suffix in RESULTS
        )
        print(f"| {codec} | {sources} | {' | '.join(cells)} |")
    print(f"\n{len(pairs)} results")


if __name__ == "__main__":
    main()
