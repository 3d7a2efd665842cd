"""How long networks take for a frame of 1280x720, what of it is what, and FFmpeg's minterpolate on
the same clip.

python benchmarks/models.py [CLIP] [--frames 12]

Without a clip one is rendered. All is measured in turns in one run: the networks on frames that lie
ready; the whole way from file to file with flowsep; minterpolate, on the one thread that it uses,
with decoding, and with encoding as `midframe video` does it.
"""

from midframe.process import configure_process

configure_process()  # as the command line does, before PyTorch is imported

import argparse
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import chain, islice, pairwise, repeat
from pathlib import Path
from typing import Any

import av
import torch
from video import render_clip

from midframe.evaluation.motion_compensation import BUFFERED_FRAMES, MotionCompensation
from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import from_rgb, to_rgb
from midframe.media.reading.reader import VideoReader
from midframe.media.writing.encoders import choose_encoding
from midframe.models.flowsep import FlowSep
from midframe.tensors import to_image, to_tensor
from midframe.video.pipeline import interpolate_video

NETWORKS = "sepconv", "flowsep-small", "flowsep"
ROUNDS = 3
HALF = Fraction(1, 2)


def seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turns(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The fastest time of each, after one run that is not counted: other work only adds."""
    for work in works.values():
        work()
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in works}


def compensate(clip: Path, count: int, *, encoded: bool) -> None:
    """Bring a clip to twice its rate by minterpolate."""
    with VideoReader(clip) as reader:
        picture, colour = reader.first_picture()
        encode = new_encoder(picture, colour) if encoded else lambda _, __: None
        rival = MotionCompensation(picture, colour)
        pictures = [frame.picture for frame in islice(reader.read(), count)]
        for given in chain(pictures, repeat(pictures[-1], BUFFERED_FRAMES)):
            for made in rival.pass_through(given):
                encode(made, made.pts)
        encode(None, 0)


def stages(
    interpolator: Interpolator, pictures: list[av.VideoFrame], colour: Any
) -> dict[str, Callable[[], Any]]:
    """The work on one frame, piece by piece."""
    model = interpolator.model
    assert isinstance(model, FlowSep)
    images = [to_rgb(picture, colour) for picture in pictures[:2]]
    tensors = to_tensor(images[0], interpolator.device), to_tensor(images[1], interpolator.device)
    height, width = images[0].shape[:2]
    rows, columns = slice(0, height), slice(0, width)
    made = interpolator.middle(*tensors)
    result = to_image(made, images[0].dtype)
    with torch.inference_mode():
        prepared = model.prepare(*tensors)

    def network() -> None:
        model.predict(model.prepare(*tensors))

    def operator() -> None:
        model.render_tile(prepared, rows, columns)

    return {
        "network": torch.inference_mode()(network),
        "operator": torch.inference_mode()(operator),
        "RGB to tensor and back": lambda: (
            to_tensor(images[1], interpolator.device),
            to_image(made, images[0].dtype),
        ),
        "YUV to RGB and back": lambda: (
            to_rgb(pictures[1], colour),
            from_rgb(result, colour, "yuv420p"),
        ),
    }


def decode(clip: Path, count: int) -> None:
    with VideoReader(clip) as reader:
        for _ in islice(reader.read(), count):
            pass


def new_encoder(picture: av.VideoFrame, colour: Any) -> Callable[[av.VideoFrame | None, int], None]:
    """Takes pictures, and None at the end, and encodes them as `midframe video` does without
    options."""
    encoding = choose_encoding(picture, colour, time_base=Fraction(1, 50), rate=Fraction(50))
    encoder = encoding.new_encoder()
    encoder.open()

    def encode(picture: av.VideoFrame | None, pts: int) -> None:
        encoder.encode(encoding.frame(picture, colour, pts) if picture else None)

    return encode


def encode_all(pictures: list[av.VideoFrame], colour: Any) -> None:
    encode = new_encoder(pictures[0], colour)
    for pts, picture in enumerate([*pictures, None]):
        encode(picture, pts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "clip.mp4"
        if not options.clip:
            render_clip(clip, options.frames)
        with VideoReader(clip) as reader:
            _, colour = reader.first_picture()
            pictures = [frame.picture for frame in islice(reader.read(), options.frames)]
            length = float(options.frames / reader.rate)
        pairs = list(pairwise(to_rgb(picture, colour) for picture in pictures))
        interpolators = {name: Interpolator(name) for name in NETWORKS}
        first, second = pairs[0]
        times = in_turns(
            {
                name: partial(interpolator.interpolate, first, second, HALF)
                for name, interpolator in interpolators.items()
            }
        )
        print(
            f"{first.shape[1]}x{first.shape[0]}, {torch.get_num_threads()} threads, fastest of "
            f"{ROUNDS}, in turns"
        )
        for name, taken in times.items():
            print(f"{name:24}{taken:8.3f} s per frame  1/{times['sepconv'] / taken:.1f} of sepconv")
        parts = in_turns(stages(interpolators["flowsep"], pictures, colour))
        files = in_turns({
            "decoding a frame": lambda: decode(clip, options.frames),
            "encoding two": lambda: encode_all(pictures * 2, colour),
        })  # fmt: skip
        parts |= {name: taken / len(pictures) for name, taken in files.items()}
        for name, taken in parts.items():
            print(f"  {name:26}{1000 * taken:8.1f} ms  {100 * taken / sum(parts.values()):3.0f} %")
        target = Path(folder) / "out.mp4"
        films = in_turns({
            **{
                f"midframe video, {name}": partial(
                    interpolate_video, clip, target, model=model, end=length, overwrite=True
                )
                for name, model in interpolators.items()
                if name != "sepconv"  # takes minutes
            },
            "minterpolate": lambda: compensate(clip, options.frames, encoded=False),
            "minterpolate, encoded": lambda: compensate(clip, options.frames, encoded=True),
        })  # fmt: skip
        for name, taken in films.items():
            print(f"{name:30}{len(pairs) / taken:8.2f} frames per second")


if __name__ == "__main__":
    main()
