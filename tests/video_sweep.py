"""Test video of every codec and pixel format, from every container that supports it; the frames
that ffmpeg decodes are the reference.

    python tests/video_sweep.py [--all] [CODEC ...]

Each source is a small video with a tone, rendered with the ffmpeg program. It is interpolated
without loss into Matroska. ffmpeg then decodes source and result: every frame of the source must be
in the result, unchanged and in order, within half a frame duration of its time; sound must begin
and end at the same times relative to the video. Prints a Markdown table with one row for each
codec, or with --all for each file.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sweep import TONE_AT, measure

SECONDS = 120
"""Timeout of a case in seconds."""
RENDER_SECONDS = 30
"""Timeout of rendering a source in seconds."""
H264 = ("libx264", "-preset", "veryfast", "-g", "12")
YUV = ("yuv420p", "yuv422p", "yuv444p")
HIGH = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
CODECS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "h264": ((*H264, "-bf", "0"), (*YUV, *HIGH, "yuvj420p", "gray", "gray10le")),
    "h264 b2": ((*H264, "-bf", "2"), ("yuv420p",)),
    "h264 b3 pyramid": (
        (*H264, "-bf", "3", "-x264-params", "b-pyramid=normal:open-gop=1"),
        ("yuv420p",),
    ),
    "h264 mbaff": ((*H264, "-bf", "2", "-flags", "+ilme+ildct"), ("yuv420p", "yuv422p")),
    "h264 rgb": (("libx264rgb", "-preset", "veryfast"), ("rgb24",)),
    "hevc": (
        ("libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1:bframes=3"),
        (*YUV, *HIGH, "yuv420p12le", "gray", "gbrp", "yuvj420p"),
    ),
    "av1": (("libaom-av1", "-cpu-used", "8", "-usage", "realtime"), (*YUV, "yuv420p10le", "gray")),
    "av1 svt": (("libsvtav1", "-preset", "12"), ("yuv420p", "yuv420p10le")),
    "vp8": (
        ("libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "5", "-deadline", "realtime"),
        ("yuv420p",),
    ),
    "vp8 alpha": (("libvpx", "-auto-alt-ref", "0", "-deadline", "realtime"), ("yuva420p",)),
    "vp9": (
        ("libvpx-vp9", "-cpu-used", "8", "-lag-in-frames", "5"),
        (*YUV, "yuv420p10le", "yuv422p10le", "yuv420p12le", "gbrp", "yuv440p"),
    ),
    "vp9 alpha": (("libvpx-vp9", "-cpu-used", "8"), ("yuva420p",)),
    "mpeg1video": (("mpeg1video", "-bf", "2", "-b:v", "2M"), ("yuv420p",)),
    "mpeg2video": (("mpeg2video", "-b:v", "2M"), ("yuv420p", "yuv422p")),
    "mpeg2video b2": (("mpeg2video", "-bf", "2", "-b:v", "2M"), ("yuv420p",)),
    "mpeg2video interlaced": (
        ("mpeg2video", "-bf", "2", "-flags", "+ilme+ildct", "-top", "1", "-b:v", "2M"),
        ("yuv420p",),
    ),
    "mpeg4": (("mpeg4", "-b:v", "1M"), ("yuv420p",)),
    "mpeg4 b2": (("mpeg4", "-bf", "2", "-b:v", "1M"), ("yuv420p",)),
    "xvid": (("libxvid", "-b:v", "1M"), ("yuv420p",)),
    "msmpeg4v2": (("msmpeg4v2", "-b:v", "1M"), ("yuv420p",)),
    "msmpeg4": (("msmpeg4", "-b:v", "1M"), ("yuv420p",)),
    "wmv1": (("wmv1", "-b:v", "1M"), ("yuv420p",)),
    "wmv2": (("wmv2", "-b:v", "1M"), ("yuv420p",)),
    "h261": (("h261", "-s", "176x144", "-b:v", "1M"), ("yuv420p",)),
    "h263": (("h263", "-s", "128x96", "-b:v", "1M"), ("yuv420p",)),
    "h263p": (("h263p", "-b:v", "1M"), ("yuv420p",)),
    "flv1": (("flv", "-b:v", "1M"), ("yuv420p",)),
    "flashsv": (("flashsv",), ("bgr24",)),
    "theora": (("libtheora", "-q:v", "8"), YUV),
    "mjpeg": (("mjpeg", "-q:v", "3"), ("yuvj420p", "yuvj422p", "yuvj444p")),
    "ljpeg": (("ljpeg",), ("yuvj420p", "bgr24")),
    "prores": (("prores_ks",), ("yuv422p10le", "yuv444p10le", "yuva444p10le")),
    "dnxhr": (("dnxhd", "-profile:v", "dnxhr_hq", "-s", "256x128"), ("yuv422p",)),
    "dnxhd": (("dnxhd", "-s", "1280x720", "-b:v", "60M"), ("yuv422p",)),
    "dvvideo": (("dvvideo", "-s", "720x576"), ("yuv420p",)),
    "ffv1": (
        ("ffv1", "-level", "3"),
        (
            *YUV,
            *HIGH,
            "yuv420p12le",
            "yuv444p16le",
            "gray",
            "gray16le",
            "bgr0",
            "bgra",
            "gbrp10le",
            "gbrp16le",
            "yuva420p",
            "yuv410p",
            "yuv411p",
            "yuv440p",
        ),
    ),
    "huffyuv": (("huffyuv",), ("yuv422p", "rgb24", "bgra")),
    "ffvhuff": (("ffvhuff",), (*YUV, "gray", "gbrp", "yuv420p10le", "yuva444p")),
    "utvideo": (("utvideo",), (*YUV, "gbrp", "gbrap")),
    "magicyuv": (("magicyuv",), ("yuv420p", "gbrp", "gray", "yuva444p")),
    "rawvideo": (
        ("rawvideo",),
        (
            *YUV,
            "yuyv422",
            "uyvy422",
            "nv12",
            "rgb24",
            "bgr24",
            "bgra",
            "rgba",
            "gray",
            "pal8",
            "rgb555le",
            "yuv420p10le",
            "gray16le",
            "monow",
        ),
    ),
    "v210": (("v210",), ("yuv422p10le",)),
    "r210": (("r210",), ("gbrp10le",)),
    "png": (("png",), ("rgb24", "rgba", "gray", "pal8", "rgb48be", "gray16be", "monob", "ya8")),
    "apng": (("apng", "-plays", "1"), ("rgb24", "rgba")),
    "gif": (("gif",), ("pal8",)),
    "jpeg2000": (("jpeg2000",), ("yuv420p", "rgb24", "gray")),
    "cinepak": (("cinepak", "-q:v", "5"), ("rgb24",)),
    "qtrle": (("qtrle",), ("rgb24", "argb", "gray")),
    "rpza": (("rpza",), ("rgb555be",)),
    "smc": (("smc",), ("pal8",)),
    "svq1": (("svq1",), ("yuv410p",)),
    "snow": (("snow", "-strict", "-2"), ("yuv420p", "yuv444p")),
    "msvideo1": (("msvideo1",), ("rgb555le",)),
    "zmbv": (("zmbv",), ("pal8", "bgr0")),
    "zlib": (("zlib",), ("bgr24",)),
    "asv2": (("asv2", "-q:v", "3"), ("yuv420p",)),
    "cfhd": (("cfhd",), ("yuv422p10le", "gbrp12le")),
    "dirac": (("vc2",), ("yuv420p", "yuv422p10le")),
    "qoi": (("qoi",), ("rgb24", "rgba")),
    "targa": (("targa",), ("bgr24",)),
    "tiff": (("tiff",), ("rgb24", "gray16le")),
    "webp": (("libwebp_anim", "-lossless", "1"), ("bgra",)),
    "speedhq": (("speedhq",), ("yuv422p",)),
    "roq": (("roqvideo", "-s", "128x64", "-r", "30"), ("yuvj444p",)),
    "amv": (("amv", "-s", "160x128"), ("yuvj420p",)),
}
"""FFmpeg arguments for the encoder of each codec, and pixel formats; the first is tested in every
container."""
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": ("aac",), "m4v": ("aac",), "mov": ("pcm_s16le",), "mkv": ("flac",), "webm": ("libopus",),
    "avi": ("pcm_s16le",), "ts": ("mp2",), "m2ts": ("ac3",), "mpg": ("mp2",), "vob": ("ac3",),
    "flv": ("aac",),
    "ogv": ("libvorbis",), "wmv": ("wmav2",), "asf": ("wmav2",), "3gp": ("aac",),
    "mxf": ("pcm_s16le",),
    "nut": ("pcm_s16le",), "y4m": (), "gif": (), "apng": (), "ivf": (), "h264": (), "hevc": (),
    "dv": ("pcm_s16le",),
    "m1v": (), "m2v": (), "mjpeg": (), "obu": (), "webp": (), "drc": (), "h263": (), "h261": (),
    "gxf": ("pcm_s16le",),
}  # fmt: skip
"""Suffixes of sources, and FFmpeg arguments for their sound, if any."""
ELEMENTARY = {
    "h264": "h264", "hevc": "hevc", "m1v": "mpeg1video", "m2v": "mpeg2video", "mjpeg": "mjpeg",
    "drc": "dirac",
    "h263": "h263", "h261": "h261", "webp": "webp", "dv": "dvvideo", "obu": "av1",
    "y4m": "rawvideo",
}  # fmt: skip
"""Suffixes of elementary streams, and their codec."""
FORMATS = {"obu": "obu", "hevc": "hevc", "h264": "h264", "m4v": "mp4", "ogv": "ogg", "drc": "dirac"}
"""Muxers that FFmpeg does not choose by the suffix."""
ALL_FORMATS = ("mkv", "mov", "nut", "avi", "mp4", "mxf")
"""Containers in which all pixel formats are tested."""


GUESSED = (".avi", ".asf", ".wmv", ".m1v", ".m2v")
"""Files of which ffmpeg guesses the times, or which begin with the priming samples of the sound."""


@dataclass(frozen=True)
class DecodedVideo:
    """The video stream of a file, decoded by ffmpeg."""

    times: list[float]
    """Seconds from the start of the file, in order."""
    hashes: list[str]
    end: float
    """The end of the last frame, from the duration of its packet."""


@dataclass
class Verdict:
    """The faults and properties of a case."""

    name: str
    codec: str = ""
    container: str = ""
    pixel_format: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decode(path: Path, pixel_format: str, *options: str) -> DecodedVideo:
    """Decode the video with ffmpeg.

    Raises:
        ValueError: Nothing was decoded.
    """
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-threads",
        "1",
        *options,
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-fps_mode",
    ]
    command += [
        "passthrough",
        "-enc_time_base",
        "1:90000",
        "-sws_flags",
        "bicubic+accurate_rnd",
        "-pix_fmt",
    ]
    output = subprocess.run(
        [*command, pixel_format, "-f", "framemd5", "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    ).stdout
    rows = [
        [each.strip() for each in line.split(",")]
        for line in output.splitlines()
        if not line.startswith("#")
    ]
    base = re.search(r"#tb 0: (\d+)/(\d+)", output)
    if not rows or not base:
        raise ValueError("ffmpeg decodes nothing")
    tick = int(base[1]) / int(base[2])
    times = [int(each[2]) * tick for each in rows]
    last = int(rows[-1][3]) * tick
    return DecodedVideo(times, [each[5] for each in rows], times[-1] + (last if last < 3600 else 0))


def probe(path: Path, entries: str) -> list[str]:
    """Return entries of the video stream from ffprobe."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        entries,
        "-of",
        "csv=p=0",
    ]
    output = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, check=False
    ).stdout
    return output.strip().split("\n")[0].split(",")


def attempt(source: Path, target: Path, options: dict[str, Any]) -> tuple[str, Any]:
    """Interpolate, in a worker process; return the error, if any, and the report."""
    from helpers.video import Averager

    from midframe.errors import MidframeError
    from midframe.video.pipeline import interpolate_video

    arguments = {"model": Averager(), "overwrite": True, "codec": "ffv1"} | options
    try:
        return "", interpolate_video(source, target, **arguments)
    except (MidframeError, ValueError) as error:
        return f"refused: {error}", None
    except BaseException as error:
        return f"{type(error).__name__}: {error}", None


class Runner:
    """Runs attempts in a worker process, which is replaced after a crash or a hang."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def run(self, source: Path, target: Path, options: dict[str, Any]) -> tuple[str, Any]:
        """Run `attempt` in the worker process."""
        try:
            return self.pool.submit(attempt, source, target, options).result(timeout=SECONDS)
        except (BrokenProcessPool, TimeoutError) as error:
            for process in list((self.pool._processes or {}).values()):
                process.kill()
            self.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            return f"{type(error).__name__} (crash or hang)", None


def missing_frames(source: DecodedVideo, result: DecodedVideo, slow: float = 1) -> list[str]:
    """List faults: source frames that are lost, out of order or at wrong times in the result."""
    steps = sorted(
        after - before for before, after in zip(source.times, source.times[1:], strict=False)
    )
    step = steps[len(steps) // 2] if steps else 0.04
    start, lost, late, worst = 0, [], 0, 0.0
    for time, expected in zip(source.times, source.hashes, strict=True):
        index = next(
            (n for n in range(start, len(result.hashes)) if result.hashes[n] == expected), None
        )
        if index is None:
            lost.append(time)
            continue
        shift = result.times[index] / slow - time
        worst = max(worst, shift, key=abs)
        late += abs(shift) > step / 2 + 0.0015
        start = index + 1
    faults = []
    if lost:
        faults.append(f"{len(lost)} of {len(source.times)} frames lost ({lost[0]:.2f} s ...)")
    if late:
        faults.append(f"{late} frames shifted, at most {worst * 1000:+.0f} ms")
    return faults


def check(
    name: str,
    source: Path,
    target: Path,
    runner: Runner,
    options: dict[str, Any] | None = None,
    *decoding: str,
) -> Verdict:
    """Interpolate a source and compare the result with it."""
    options = options or {}
    verdict = Verdict(name)
    error, report = runner.run(source, target, options)
    if error:
        verdict.faults.append(error)
        return verdict
    verdict.faults += [f"problem: {each}" for each in report.problems]
    for name_of_list in ("damage", "warnings", "dropped"):
        if entries := getattr(report, name_of_list):
            verdict.notes.append(f"{name_of_list}: {'; '.join(entries)[:300]}")
    source_format, pixel_format = (probe(path, "stream=pix_fmt")[0] for path in (source, target))
    pixel_format = (
        source_format
        if source_format.startswith("yuvj")
        else "rgb24"
        if pixel_format == "bgr0"
        else pixel_format
    )
    try:
        before, after = decode(source, pixel_format, *decoding), decode(target, pixel_format)
    except (ValueError, subprocess.TimeoutExpired) as failure:
        verdict.faults.append(f"not compared: {failure}")
        return verdict
    slow = float(options.get("slow") or 1)
    delay = after.times[0] - before.times[0] * slow
    # Matroska delays all streams if priming samples of the sound are before 0; ffmpeg guesses when
    # AVI and ASF begin
    if 0.003 < delay < 0.07 or (0.003 < -delay < 0.09 and source.suffix in GUESSED):
        verdict.notes.append(f"all streams {delay * 1000:+.0f} ms")
        after = DecodedVideo(
            [time - delay for time in after.times], after.hashes, after.end - delay
        )
    verdict.notes.append(
        f"in {len(before.times)} frames {before.times[0]:.3f}..{before.end:.3f}, out "
        f"{len(after.times)} frames"
        f" {after.times[0]:.3f}..{after.end:.3f}; kept {report.frames_kept} of {report.frames_in}"
    )
    verdict.faults += missing_frames(before, after, slow)
    step = (before.times[-1] - before.times[0]) / max(1, len(before.times) - 1)
    if abs(after.end - before.end * slow) > max(0.003, step / 2 + 0.0015):
        verdict.faults.append(f"ends at {after.end:.3f} s instead of {before.end * slow:.3f} s")
    if abs(after.times[0] - before.times[0] * slow) > max(0.003, step / 2 + 0.0015):
        verdict.faults.append(
            f"begins at {after.times[0]:.3f} s instead of {before.times[0] * slow:.3f} s"
        )
    return verdict


def check_sound(verdict: Verdict, source: Path, target: Path) -> None:
    """Compare the times of the sound of source and result relative to the video."""
    try:
        before = measure(source)
    except (ValueError, KeyError, IndexError, ZeroDivisionError, subprocess.CalledProcessError):
        return
    try:
        after = measure(target)
    except (ValueError, KeyError, IndexError, ZeroDivisionError, subprocess.CalledProcessError):
        verdict.faults.append("sound lost")
        return
    shift = after.tone - before.tone
    if abs(shift) > 0.012:
        verdict.faults.append(f"tone shifted {shift * 1000:+.0f} ms")
    if abs(after.end - before.end) > 0.06:
        verdict.faults.append(f"sound ends {(after.end - before.end) * 1000:+.0f} ms elsewhere")


def render(
    folder: Path, codec: str, container: str, pixel_format: str, rate: str = "25"
) -> Path | None:
    """Render a video with a tone; return None if the container does not support the codec."""
    path = folder / f"{codec.replace(' ', '-')}-{pixel_format}.{container}"
    arguments, sound = CODECS[codec][0], CONTAINERS[container]
    channel = f"if(gte(t,{TONE_AT}),0.4*sin(2*PI*440*t),0)"
    tone = f"aevalsrc='{channel}|{channel}':s=48000"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-threads",
        "1",
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=s=96x64:r={rate}:d=1",
    ]
    command += [
        "-f",
        "lavfi",
        "-i",
        f"{tone}:d=1",
        "-map",
        "0:v",
        *(("-map", "1:a", "-c:a", *sound) if sound else ()),
    ]
    command += [
        "-pix_fmt",
        pixel_format,
        "-strict",
        "-2",
        "-r",
        rate,
        "-c:v",
        *arguments,
        "-threads",
        "1",
    ]
    command += ["-f", FORMATS[container]] if container in FORMATS else []
    try:
        completed = subprocess.run(
            [*command, str(path)], capture_output=True, check=False, timeout=RENDER_SECONDS
        )
    except subprocess.TimeoutExpired:  # ffmpeg with SVT-AV1 hangs after a refused header
        return None
    if completed.returncode or not path.exists() or not path.stat().st_size:
        return None
    probed = probe(path, "stream=codec_name,pix_fmt")
    if len(probed) < 2 or probed[0] in ("unknown", "none", ""):
        return None
    unknown = probed[0] == "rawvideo" and codec not in (
        "rawvideo",
        "v210",
        "r210",
    )  # the container does not store the codec
    return path if ELEMENTARY.get(container, probed[0]) == probed[0] and not unknown else None


def sweep(codecs: list[str], folder: Path) -> Iterator[Verdict]:
    """Render, interpolate and compare; yield a verdict for each source."""
    runner = Runner()
    for codec in codecs:
        for pixel_format in CODECS[codec][1]:
            first = pixel_format == CODECS[codec][1][0]
            rendered = 0
            for container in CONTAINERS if first else ALL_FORMATS:
                if not first and rendered == 2:
                    break
                if container in ELEMENTARY and not ELEMENTARY[container].startswith(
                    codec.split()[0]
                ):
                    continue
                rate = "30000/1001" if len(codec + container) % 2 and container != "mxf" else "25"
                source = render(folder, codec, container, pixel_format, rate)
                if source is None:
                    continue
                rendered += 1
                target = folder / "result.mkv"
                verdict = check(source.name, source, target, runner)
                if CONTAINERS[container] and target.exists() and first:
                    check_sound(verdict, source, target)
                verdict.codec, verdict.container, verdict.pixel_format = (
                    codec,
                    container,
                    pixel_format,
                )
                yield verdict
                target.unlink(missing_ok=True)
                source.unlink()


def format_table(verdicts: list[Verdict]) -> Iterator[str]:
    """Yield the rows of a table for each codec and container."""
    yield "| codec | container | pixel formats | result |"
    yield "|---|---|---|---|"
    for codec in dict.fromkeys(each.codec for each in verdicts):
        rows: dict[str, list[Verdict]] = {}
        for each in verdicts:
            if each.codec == codec:
                rows.setdefault(each.container, []).append(each)
        for container, group in rows.items():
            bad = [
                f"{each.pixel_format}: {'; '.join(each.faults)}" for each in group if each.faults
            ]
            formats = " ".join(each.pixel_format for each in group)
            yield f"| {codec} | .{container} | {formats} | {' / '.join(bad) or 'pass'} |"


def main() -> None:
    codecs = [each for each in sys.argv[1:] if not each.startswith("--")] or list(CODECS)
    if "--help" in sys.argv or not set(codecs) <= set(CODECS):
        sys.exit(f"{__doc__}\nCodecs: {', '.join(CODECS)}")
    verdicts = []
    with tempfile.TemporaryDirectory() as name:
        for verdict in sweep(codecs, Path(name)):
            verdicts.append(verdict)
            if "--all" in sys.argv:
                print(
                    f"| {verdict.name} | {'; '.join(verdict.faults) or 'pass'} | "
                    f"{'; '.join(verdict.notes)} |",
                    flush=True,
                )
    if "--all" not in sys.argv:
        print("\n".join(format_table(verdicts)))
    print(f"\n{len(verdicts)} sources, {sum(bool(each.faults) for each in verdicts)} with faults")


if __name__ == "__main__":
    main()
