"""Record the results of midframe, and compare them with those of a later state of the code.

    python tests/behaviour.py --record before.json
    python tests/behaviour.py --compare before.json

Renders small clips, runs the commands of `CASES` on them, and records for each result the exit
status, the streams, and the sha256 of the decoded samples and of all times in the time base of the
stream. `--only NAME` runs only cases with this text in their name. Floating-point results depend on
the processor and on the versions of PyTorch and FFmpeg, so a record is valid only on the machine
that wrote it.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from PIL import Image

import midframe
from midframe.process import no_real_time_threads

Array = np.ndarray[Any, Any]
Record = dict[str, Any]
PACKAGE = Path(midframe.__file__).parent
RATE = Fraction(24000, 1001)
H264 = {"crf": "10", "x264-params": "mbtree=0"}
"""Without this, x264 reads uninitialised memory on some processors: see docs/reliability.md."""
X264 = ("--encoder-option", "x264-params=mbtree=0")
BT2020, PQ, LIMITED = 9, 16, 1


def render(time: float, size: tuple[int, int] = (64, 96), scene: int = 0) -> Array:
    """Draw a textured background that moves, and a disc that crosses it; `time` in frames."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [
        np.sin((columns - 2 * time) / (5 + scene + k) + k) * np.cos(rows / (4 + k + 2 * scene))
        for k in range(3)
    ]
    image = np.stack([80 + 60 * wave + 90 * scene for wave in waves], axis=-1)
    disc = (rows - height / 2) ** 2 + (columns - time - 15) ** 2 < (height / 6) ** 2
    image[disc] = (240, 200, 40)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def render_alpha(time: float) -> Array:
    """Draw a frame whose alpha moves with the texture."""
    image = render(time)
    return np.dstack([image, np.where(image[..., 0] > 90, 255, 0).astype(np.uint8)])


def write_clip(
    path: Path,
    *,
    frames: int = 10,
    rate: Fraction = RATE,
    size: tuple[int, int] = (64, 96),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    cut_at: int | None = None,
    repeat: int = 1,
    times: list[int] | None = None,
    sound: str | None = "aac",
    options: dict[str, str] | None = None,
    interlaced: bool = False,
    hdr: bool = False,
) -> None:
    """Write a clip with a sine wave as its sound; `times` are in frame durations."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate, options=options or H264)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pixel_format
        stream.codec_context.time_base = 1 / rate
        if hdr:
            context = stream.codec_context
            context.color_primaries, context.color_trc = BT2020, PQ
            context.colorspace, context.color_range = BT2020, LIMITED
        audio: Any = container.add_stream(sound, 48000, layout="stereo") if sound else None
        for number in range(frames):
            image = render(
                number // repeat, size, scene=int(cut_at is not None and number >= cut_at)
            )
            if interlaced:
                image[1::2] = render(number + 0.5, size)[1::2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = times[number] if times else number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            for chunk in sine(frames / rate):
                container.mux(audio.encode(chunk))
            container.mux(audio.encode(None))


def sine(seconds: Fraction) -> Iterator[av.AudioFrame]:
    """Yield a sine wave in chunks of 1024 samples."""
    for start in range(0, int(seconds * 48000) // 1024 * 1024, 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.05).astype(np.float32) * 0.3
        chunk = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        chunk.sample_rate, chunk.pts = 48000, start
        yield chunk


def write_sources(folder: Path) -> None:
    """Render all sources of the cases."""
    write_clip(folder / "clip.mp4")
    write_clip(folder / "cut.mkv", cut_at=5)
    write_clip(folder / "twos.mp4", frames=16, repeat=2)
    write_clip(folder / "large.mp4", frames=3, size=(180, 240), sound=None)
    write_clip(
        folder / "variable.mkv", rate=Fraction(100), times=[0, 10, 14, 40, 43, 50, 61, 70, 72, 80]
    )
    write_clip(
        folder / "fields.mp4",
        interlaced=True,
        options={"crf": "10", "x264-params": "mbtree=0:tff=1"},
    )
    write_clip(
        folder / "clip.ts",
        codec="mpeg2video",
        rate=Fraction(25),
        options={"b": "4000000"},
        sound="mp2",
    )
    hevc = {"preset": "ultrafast", "x265-params": "log-level=error"}
    write_clip(
        folder / "hdr.mkv",
        frames=4,
        codec="libx265",
        pixel_format="yuv420p10le",
        options=hevc,
        hdr=True,
        sound="flac",
    )
    (folder / "frames").mkdir()
    for number in range(5):
        Image.fromarray(render(number)).save(folder / "frames" / f"{number:04d}.png")
    for suffix, image_format in ((".apng", "PNG"), (".gif", "GIF")):
        first, *others = (Image.fromarray(render_alpha(number)) for number in range(5))
        save_options: dict[str, Any] = {
            "save_all": True,
            "append_images": others,
            "duration": 100,
            "disposal": 2,
        }
        first.save(folder / f"alpha{suffix}", format=image_format, **save_options)


def run(*arguments: str) -> int:
    """Run a command in this process and return its exit status."""
    from midframe import cli

    output = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["midframe", *arguments]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            cli.main()
        except SystemExit as exit_error:
            return int(exit_error.code or 0)
    return 0


def run_pipe() -> int:
    """Interpolate y4m from standard input to standard output."""
    frames = ["yuv4mpegpipe", "in.y4m"]
    with av.open("clip.mp4") as source, av.open(frames[1], "w", format=frames[0]) as target:
        stream: Any = target.add_stream("wrapped_avframe", RATE)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base = number, 1 / RATE
            target.mux(stream.encode(frame))
    command = [sys.executable, "-m", "midframe", "video", "-", "-", "--factor", "2"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with Path("in.y4m").open("rb") as stdin, Path("out.y4m").open("wb") as stdout:
        return subprocess.run(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            env=environment,
            check=False,
        ).returncode


def run_compare() -> int:
    """Write a lossless comparison, for which the command line has no option."""
    from midframe.video.compare import compare_video

    compare_video("cut.mkv", "out.mkv", factor=4, codec="ffv1")
    return 0


def run_resumed() -> int:
    """Interrupt the work and resume it."""
    from midframe.interpolator import Interpolator
    from midframe.video.pipeline import interpolate_video

    class InterruptError(Exception):
        pass

    class InterruptedInterpolator(Interpolator):
        pairs = 0

        @contextlib.contextmanager
        def on_free_device(self) -> Iterator[Any]:
            self.pairs += 1
            if self.pairs > 100:
                raise InterruptError
            with super().on_free_device() as device_interpolator:
                yield device_interpolator

    write_clip(Path("long.mp4"), frames=150, size=(32, 48), cut_at=40)
    options: dict[str, Any] = {"codec": "ffv1", "resume": True}
    with contextlib.suppress(InterruptError):
        interpolate_video(
            "long.mp4", "out.mkv", model=InterruptedInterpolator("flowsep"), **options
        )
    assert Path("out.mkv.midframe").is_dir(), "the work was interrupted"
    interpolate_video("long.mp4", "out.mkv", model=Interpolator("flowsep"), **options)
    return 0


@dataclass(frozen=True)
class Case:
    """A command, and the file or folder that it writes."""

    arguments: tuple[str, ...]
    result: str
    action: Callable[[], int] | None = None
    """Runs instead of a command with these arguments."""


def video(source: str, result: str, *arguments: str) -> Case:
    return Case(("video", source, result, *arguments), result)


CASES = {
    "doubling": video("clip.mp4", "out.mp4", *X264),
    "slow motion with sound": video("clip.mp4", "out.mp4", "--slow", "2.5", *X264),
    "frame rate": video("clip.mp4", "out.mkv", "--fps", "60", "--codec", "ffv1"),
    "variable rate": video("variable.mkv", "out.mp4", *X264),
    "variable rate by request": video(
        "variable.mkv", "out.mkv", "--vfr", "--factor", "3", "--codec", "ffv1"
    ),
    "cut held": video("cut.mkv", "out.mkv", "--codec", "ffv1"),
    "cut blended": video(
        "cut.mkv", "out.mov", "--cut", "blend", "--codec", "prores", "--cut-threshold", "5"
    ),
    "tiles": video("large.mp4", "out.mkv", "--tile", "64", "--scale", "1", "--codec", "ffv1"),
    "ensemble in float32": video(
        "clip.mp4",
        "out.mkv",
        "--ensemble",
        "2",
        "--precision",
        "float32",
        "--mute",
        "--codec",
        "ffv1",
    ),
    "transparent GIF": video("alpha.gif", "out.gif"),
    "transparent APNG": video("alpha.apng", "out.apng"),
    "image sequence": video(
        "frames/%04d.png", "out/%05d.png", "--source-fps", "24", "--factor", "3"
    ),
    "image folder to a video": video("frames", "out.mp4", "--fps", "30", *X264),
    "y4m pipe": Case((), "out.y4m", run_pipe),
    "10 bit HDR": video("hdr.mkv", "out.mp4", "--codec", "hevc", "--preset", "ultrafast"),
    "start and end": video("clip.mp4", "out.mp4", "--start", "0.1", "--end", "0.3", *X264),
    "duplicates": video("twos.mp4", "out.mkv", "--dedup", "--no-overlays", "--codec", "ffv1"),
    "deinterlacing": video("fields.mp4", "out.mkv", "--deinterlace", "--codec", "ffv1"),
    "transport stream": video("clip.ts", "out.mp4", *X264),
    "resumed": Case((), "out.mkv", run_resumed),
    "compare": Case((), "out.mkv", run_compare),
    "image": Case(("image", "frames/0000.png", "frames/0002.png", "out.png"), "out.png"),
    "images by halving": Case(
        (
            "image",
            "frames/0000.png",
            "frames/0002.png",
            "out/m.png",
            "--count",
            "2",
            "--model",
            "sepconv",
        ),
        "out",
    ),
    "score": Case(("score", "clip.mp4", "out"), "out"),
}


def describe_file(path: Path) -> Record:
    """Return the record of a file."""
    if path.suffix == ".json":
        mean = json.loads(path.read_text())["mean"]
        return {
            measure: sorted(float(value) for value in values.values())
            for measure, values in mean.items()
        }
    streams: dict[int, Record] = {}
    with av.open(str(path)) as container:
        for stream in container.streams:
            name = stream.codec_context.name if stream.codec_context else None
            streams[stream.index] = {
                "type": stream.type,
                "codec": name,
                "time_base": str(stream.time_base),
            }
        for index in [each.index for each in container.streams if each.type in ("video", "audio")]:
            container.seek(0) if len(streams) > 1 else None
            streams[index] |= digest(container.decode(container.streams[index]))
    return {str(index): record for index, record in streams.items()}


def digest(frames: Iterator[Any]) -> Record:
    """Count frames, and hash their samples and times."""
    samples, times, count = sha256(), sha256(), 0
    for frame in frames:
        count += 1
        shape = f"{frame.format.name} {getattr(frame, 'width', '')}x{getattr(frame, 'height', '')}"
        samples.update(shape.encode() + np.ascontiguousarray(samples_of(frame)).tobytes())
        times.update(f"{frame.pts} {frame.duration};".encode())
    return {"frames": count, "samples": samples.hexdigest(), "times": times.hexdigest()}


def samples_of(frame: Any) -> Array:
    """Return the samples without row padding."""
    if isinstance(frame, av.AudioFrame):
        return frame.to_ndarray()
    if frame.format.name == "pal8":
        frame = frame.reformat(format="rgba")
    high_bit_depth = max(component.bits for component in frame.format.components) > 8
    bytes_each = (2 if high_bit_depth else 1) * (
        len(frame.format.components) if len(frame.planes) == 1 else 1
    )
    rows = [
        np.frombuffer(plane, np.uint8)
        .reshape(plane.height, -1)[:, : plane.width * bytes_each]
        .ravel()
        for plane in frame.planes
    ]
    return np.concatenate(rows)


def run_case(case: Case, sources: Path) -> Record:
    """Run a case in a new folder and return the record of its results."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        for source in sources.iterdir():
            Path(source.name).symlink_to(source)
        if case.result == "out" and case.arguments[0] == "image":
            Path("out").mkdir()
        status = case.action() if case.action else run(*case.arguments)
        result = Path(case.result).parent if "%" in case.result else Path(case.result)
        files = sorted(result.iterdir()) if result.is_dir() else [result]
        files = [
            each for each in files if each.name != "scores.png"
        ]  # a plot that contains the version of the library
        return {
            "status": status,
            **{each.name: describe_file(each) for each in files if each.is_file()},
        }


def record(only: str | None = None) -> Record:
    """Run all cases, or those with the text `only` in their name."""
    with tempfile.TemporaryDirectory() as folder, no_real_time_threads():
        write_sources(Path(folder))
        records: Record = {}
        for name, case in CASES.items():
            if only is None or only in name:
                records[name] = run_case(case, Path(folder))
                print(f"{name}: status {records[name]['status']}", flush=True)
        return records


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """List the differences between two records."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [*before, *(name for name in now if name not in before)]
        return [
            text
            for name in names
            for text in differences(before.get(name), now.get(name), f"{path}/{name}")
        ]
    return [] if before == now else [f"{path}: {before} -> {now}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--record", metavar="FILE", type=Path, help="write the record to this file")
    action.add_argument(
        "--compare", metavar="FILE", type=Path, help="compare with the record in this file"
    )
    parser.add_argument(
        "--only", metavar="NAME", help="run only the cases with this text in their name"
    )
    options = parser.parse_args()
    print(f"midframe in {PACKAGE}")
    records = record(options.only)
    if options.record:
        options.record.write_text(json.dumps(records, indent=1) + "\n")
        return
    before = json.loads(options.compare.read_text())
    before = {
        name: each for name, each in before.items() if options.only is None or options.only in name
    }
    changed = differences(before, records)
    print("\n".join(changed) or f"{len(records)} cases: the same")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
