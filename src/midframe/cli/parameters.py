"""Parameters of the commands: type, help text and panel of each option. The default values are in
`midframe.options`."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer

from midframe.cli.events import ProgressFormat
from midframe.cli.parsing import (
    apply_progress,
    apply_quality,
    apply_threads,
    exact_number,
    seconds,
)
from midframe.cli.presets import apply_preset
from midframe.media.writing.codecs import ENCODERS
from midframe.options import CutMode, EnsembleSize, Precision, SourceOptions

RETIMING, SOURCE, INTERPOLATION = "Retiming", "Source", "Interpolation"
ENCODING, OUTPUT, CLUSTER = "Encoding", "Output", "Cluster"
"""Titles of the panels of `--help`."""
DEFAULT_START, _ = SourceOptions().seconds


Factor = Annotated[
    Fraction | None,
    typer.Option(
        "--factor",
        "-f",
        parser=exact_number,
        metavar="N",
        help="Multiple of the source's frame rate; 2 if neither --fps nor --slow is given.",
        rich_help_panel=RETIMING,
    ),
]
Fps = Annotated[
    str | None,
    typer.Option(
        "--fps",
        "-r",
        metavar="RATE",
        help="Frame rate of the result: 60, 59.94, 60000/1001.",
        rich_help_panel=RETIMING,
    ),
]
Slow = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Slow motion: how many times longer the result is, at the same frame rate.",
        rich_help_panel=RETIMING,
    ),
]
VariableRate = Annotated[
    bool,
    typer.Option(
        "--vfr",
        help="Keep the source's own frame times, and interpolate between them (variable rate).",
        rich_help_panel=RETIMING,
    ),
]
Cut = Annotated[
    CutMode,
    typer.Option(
        metavar="hold|nearest|blend",
        help="What is shown across a cut: the frame before it, the nearest frame, or a blend.",
        rich_help_panel=RETIMING,
    ),
]
Dedup = Annotated[
    bool,
    typer.Option(
        "--dedup",
        help="Replace duplicate frames (animation on twos) by interpolated ones.",
        rich_help_panel=RETIMING,
    ),
]
Overlays = Annotated[
    bool,
    typer.Option(
        help="Keep static logos and subtitles in front of a moving image.",
        rich_help_panel=RETIMING,
    ),
]
CompareFactor = Annotated[
    int,
    typer.Option(
        "--factor", "-f", metavar="N", help="Multiple of the frame rate.", rich_help_panel=RETIMING
    ),
]
Slower = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Factor by which playback is slowed.",
        rich_help_panel=RETIMING,
    ),
]
Start = Annotated[
    float,
    typer.Option(
        parser=seconds,
        metavar="TIME",
        help="Start time: 90, 1:30 or 0:01:30.5.",
        rich_help_panel=SOURCE,
    ),
]
End = Annotated[
    float | None,
    typer.Option(parser=seconds, metavar="TIME", help="End time.", rich_help_panel=SOURCE),
]
SourceFps = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Frame rate of an image sequence; 25 if not given.",
        rich_help_panel=SOURCE,
    ),
]
Deinterlace = Annotated[
    bool,
    typer.Option(
        "--deinterlace", help="Convert interlaced frames to progressive.", rich_help_panel=SOURCE
    ),
]
CutThreshold = Annotated[
    float,
    typer.Option(
        metavar="SCORE",
        help="Minimum scene change score of a cut, up to 100; 0 for no cuts.",
        rich_help_panel=SOURCE,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse a damaged source instead of bridging the damage.",
        rich_help_panel=SOURCE,
    ),
]
HardwareDecoding = Annotated[
    str | None,
    typer.Option(
        "--hwaccel",
        metavar="DEVICE",
        help="Decode on a GPU, for example cuda. Decoded frames are identical.",
        rich_help_panel=SOURCE,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Name or file of weights; `midframe models` lists the names.",
        rich_help_panel=INTERPOLATION,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1 or mps; cuda:0,cuda:1 for several GPUs.",
        rich_help_panel=INTERPOLATION,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Side in pixels of the tiles that large frames are divided into; 0 for no tiles.",
        rich_help_panel=INTERPOLATION,
    ),
]
Scale = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Divisor of the resolution at which flowsep processes frames: 1 for full resolution, "
        "2, 4; chosen by their size if not given.",
        rich_help_panel=INTERPOLATION,
    ),
]
Ensemble = Annotated[
    EnsembleSize,
    typer.Option(
        metavar="1|2|4|8",
        help="Self-ensemble: average over N rotated and mirrored views; better, but slower.",
        rich_help_panel=INTERPOLATION,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="FORMAT",
        help="Number format: auto, float32, bfloat16 or float16.",
        rich_help_panel=INTERPOLATION,
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec",
        "-c",
        metavar="NAME",
        help=f"{', '.join(ENCODERS)}, or an encoder of FFmpeg; h264 if not given, vp9 for .webm.",
        rich_help_panel=ENCODING,
    ),
]
Crf = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Constant quality; smaller values give better quality and larger files.",
        rich_help_panel=ENCODING,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Speed of the encoder, by its own names: slow, fast, 6.",
        rich_help_panel=ENCODING,
    ),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=V", help="An option of the encoder; can be repeated.", rich_help_panel=ENCODING
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-t",
        metavar="N",
        min=1,
        callback=apply_threads,
        is_eager=True,
        help="Number of threads that compute; one for each core if not given.",
        rich_help_panel=INTERPOLATION,
    ),
]
Quality = Annotated[
    Literal["draft", "standard", "best"],
    typer.Option(
        metavar="draft|standard|best",
        callback=apply_quality,
        is_eager=True,
        help="Defaults of --model, --ensemble and --crf. draft: the small network; standard: the "
        "large network; best: the mean of four predictions of the large network.",
        rich_help_panel=INTERPOLATION,
    ),
]
PresetFile = Annotated[
    str | None,
    typer.Option(
        "--preset-file",
        metavar="NAME|FILE",
        callback=apply_preset,
        is_eager=True,
        help="Take defaults of options from a preset: one of `midframe presets`, or a TOML file.",
        rich_help_panel=INTERPOLATION,
    ),
]
ShownProgress = Annotated[
    ProgressFormat,
    typer.Option(
        "--progress",
        metavar="bar|json|none",
        callback=apply_progress,
        is_eager=True,
        help="What is written to standard error: a bar, or events as lines of JSON for programs.",
        rich_help_panel=OUTPUT,
    ),
]
Mute = Annotated[bool, typer.Option("--mute", help="Drop sound.", rich_help_panel=ENCODING)]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        metavar="DIR",
        help="Convert several videos, and write their results into this folder.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", "-y", help="Replace OUT if it exists.", rich_help_panel=OUTPUT),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue work that was interrupted.", rich_help_panel=OUTPUT),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report of the result to this JSON file.",
        rich_help_panel=OUTPUT,
    ),
]
Minterpolate = Annotated[bool, typer.Option(help="Measure FFmpeg's minterpolate too.")]
