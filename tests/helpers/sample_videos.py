"""Small videos of every container, codec and pixel format."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from helpers.video import render_frame, sine

BT601, BT709, BT2020, PQ, HLG = 6, 1, 9, 16, 18
NTSC = Fraction(30000, 1001)
VARIABLE = [0, 1, 2, 3, 5, 6, 9, 10, 11, 14, 15, 16]
"""Ticks of a frame, as phones drop some."""


@dataclass(frozen=True)
class VideoSpec:
    """The properties of a rendered video; the defaults are the commonest ones."""

    source: str = "in.mp4"
    target: str = "out.mp4"
    encoder: str = "libx264"
    result: str = "h264"
    pixel_format: str = "yuv420p"
    rate: Fraction = Fraction(25)
    size: tuple[int, int] = (64, 96)
    frames: int = 12
    times: list[int] | None = None
    """In ticks of a frame."""
    late: int = 0
    """Ticks by which the video begins after the sound."""
    hidden: int = 0
    """Frames that an edit list hides: MP4 has no times before the beginning."""
    colour: tuple[int, int, int, int] = (2, 2, 2, 0)
    """Matrix, primaries, transfer, range (1 limited, 2 full)."""
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    sound: tuple[str, ...] = ("aac",)
    languages: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    video_options: dict[str, Any] = field(default_factory=dict)
    """Options of the interpolation."""


X264 = "x264-params"
VIDEO_SPECS: dict[str, VideoSpec] = {
    "plain": VideoSpec(),
    "24000/1001": VideoSpec(rate=Fraction(24000, 1001)),
    "30000/1001": VideoSpec(rate=NTSC),
    "60 frames a second": VideoSpec(rate=Fraction(60)),
    "10 frames a second": VideoSpec(rate=Fraction(10)),
    "matroska": VideoSpec("in.mkv", "out.mkv"),
    "matroska at 24000/1001": VideoSpec("in.mkv", "out.mkv", rate=Fraction(24000, 1001)),
    "quicktime": VideoSpec("in.mov", "out.mov"),
    "webm": VideoSpec("in.webm", "out.webm", "libvpx-vp9", "vp9", sound=("libopus",)),
    "webm of vp8": VideoSpec("in.webm", "out.mkv", "libvpx", sound=("libopus",)),
    "avi": VideoSpec("in.avi", "out.mp4", "mpeg4", sound=("libmp3lame",)),
    "transport stream": VideoSpec("in.ts", "out.mp4", sound=("aac",)),
    "mp4 to matroska": VideoSpec("in.mp4", "out.mkv"),
    "matroska to mp4": VideoSpec("in.mkv", "out.mp4"),
    "matroska to quicktime": VideoSpec("in.mkv", "out.mov"),
    "hevc": VideoSpec(encoder="libx265", result="hevc"),
    "av1": VideoSpec("in.mkv", "out.mkv", "libsvtav1", "av1"),
    "prores": VideoSpec(
        "in.mov", "out.mov", "prores_ks", "prores", "yuv422p10le", sound=("pcm_s16le",)
    ),
    "ffv1": VideoSpec("in.mkv", "out.mkv", "ffv1", "ffv1", sound=("flac",)),
    "mpeg2": VideoSpec("in.ts", "out.mkv", "mpeg2video", sound=("mp2",)),
    "4:2:2": VideoSpec(pixel_format="yuv422p"),
    "4:4:4": VideoSpec(pixel_format="yuv444p"),
    "ten bits": VideoSpec(encoder="libx265", result="hevc", pixel_format="yuv420p10le"),
    "ten bits 4:2:2": VideoSpec("in.mkv", "out.mkv", pixel_format="yuv422p10le"),
    "bt601": VideoSpec(colour=(BT601, BT601, BT601, 1)),
    "bt709": VideoSpec(colour=(BT709, BT709, BT709, 1)),
    "bt709 full range": VideoSpec(colour=(BT709, BT709, BT709, 2)),
    "bt2020 pq": VideoSpec(
        encoder="libx265", result="hevc", pixel_format="yuv420p10le", colour=(BT2020, BT2020, PQ, 1)
    ),
    "bt2020 hlg": VideoSpec(
        encoder="libx265",
        result="hevc",
        pixel_format="yuv420p10le",
        colour=(BT2020, BT2020, HLG, 1),
    ),
    "odd size": VideoSpec("in.mkv", "out.mkv", "ffv1", "ffv1", size=(63, 95)),
    "tiny": VideoSpec(size=(16, 16)),
    "tall": VideoSpec(size=(320, 48)),
    "wide pixels": VideoSpec(sample_aspect_ratio=Fraction(64, 45)),
    "narrow pixels in matroska": VideoSpec("in.mkv", "out.mkv", sample_aspect_ratio=Fraction(8, 9)),
    "turned left": VideoSpec(rotation=90),
    "upside down": VideoSpec(rotation=180),
    "turned right in quicktime": VideoSpec("in.mov", "out.mov", rotation=-90),
    "no sound": VideoSpec(sound=()),
    "two languages": VideoSpec(sound=("aac", "aac"), languages=("deu", "eng")),
    "five languages in matroska": VideoSpec(
        "in.mkv",
        "out.mkv",
        sound=("aac", "flac", "libopus", "libmp3lame", "ac3"),
        languages=("deu", "eng", "fra", "spa", "jpn"),
    ),
    "opus in mp4": VideoSpec(sound=("libopus",)),
    "surround": VideoSpec("in.mkv", "out.mkv", sound=("ac3",)),
    "alac": VideoSpec("in.mov", "out.mov", sound=("alac",)),
    "title and date": VideoSpec(
        metadata={"title": "A film", "creation_time": "2020-02-02T20:20:20.000000Z"}
    ),
    "variable rate": VideoSpec("in.mkv", "out.mkv", times=VARIABLE, rate=Fraction(30)),
    "variable rate kept": VideoSpec(
        "in.mp4", "out.mp4", times=VARIABLE, rate=Fraction(30), video_options={"vfr": True}
    ),
    "a gap": VideoSpec(times=[*range(6), *range(20, 26)]),
    "video begins late": VideoSpec(late=10),
    "video begins late in matroska": VideoSpec("in.mkv", "out.mkv", late=10),
    "an edit list hides five frames": VideoSpec(late=-5, hidden=5),
    "video begins before its time in matroska": VideoSpec("in.mkv", "out.mkv", late=-5),
    "video begins before its time in a transport stream": VideoSpec("in.ts", "out.mkv", late=-5),
    "no reordered frames": VideoSpec(options={X264: "bframes=0"}),
    "many reordered frames": VideoSpec(
        frames=40, options={X264: "bframes=8:b-adapt=2:b-pyramid=normal"}
    ),
    "open groups": VideoSpec(frames=40, options={X264: "open-gop=1:keyint=10:bframes=3"}),
    "every frame a key": VideoSpec(options={X264: "keyint=1"}),
    "one frame": VideoSpec(frames=1, sound=()),
    "two frames": VideoSpec(frames=2, sound=()),
    "three times the rate": VideoSpec(video_options={"factor": 3}),
    "25 to 60": VideoSpec(frames=50, video_options={"fps": "60"}),
    "four times slower": VideoSpec(frames=50, video_options={"slow": 4}),
    "muted": VideoSpec(video_options={"mute": True}),
}


def render(spec: VideoSpec, folder: Path) -> Path:
    """Render a video."""
    path = folder / spec.source
    with av.open(str(path), "w") as container:
        video = container.add_stream(spec.encoder, spec.rate, options=spec.options)
        context = video.codec_context
        video.width, video.height, video.pix_fmt = (
            spec.size[1],
            spec.size[0],
            spec.pixel_format,
        )
        context.time_base = 1 / spec.rate
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            spec.colour
        )
        context.sample_aspect_ratio = spec.sample_aspect_ratio
        if spec.rotation:
            video.set_display_rotation(spec.rotation)
        tracks = [container.add_stream(codec, 48000, layout="stereo") for codec in spec.sound]
        for track, language in zip(tracks, spec.languages, strict=False):
            track.metadata["language"] = language
        container.metadata.update(spec.metadata)
        times = spec.times or list(range(spec.frames))
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(render_frame(number, *spec.size), format="rgb24")
            frame = frame.reformat(
                format=spec.pixel_format, dst_colorspace=5, dst_color_range=spec.colour[3] or 1
            )
            frame.pts, frame.time_base, frame.pict_type = time + spec.late, 1 / spec.rate, 0
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track in tracks:
            resampler = av.AudioResampler(
                track.codec_context.format.name, "stereo", 48000, track.frame_size or 1024
            )
            for chunk in sine((times[-1] + 1 + spec.late) / spec.rate):
                for given in resampler.resample(chunk):
                    container.mux(track.encode(given))
            for given in resampler.resample(None):
                container.mux(track.encode(given))
            container.mux(track.encode(None))
    return path
