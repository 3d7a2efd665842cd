"""Fixtures that render all inputs of the tests: frames, videos with sound, small networks."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from midframe.process import configure_process, no_real_time_threads

configure_process()  # as the command line does, before PyTorch is imported

import av
import hypothesis
import numpy as np
import pytest
import torch
from helpers.video import render_frame, sine

from midframe.models.checkpoint import build_model, save_model
from midframe.models.sepconv import SepConv
from midframe.ops.native_cache import open_cache

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = (
        "1"  # before Triton is imported: its kernels then run on the CPU
    )

# This process compiles in memory, which is faster; commands that tests start share libraries.
# Nothing of other runs is used.
_cache = TemporaryDirectory(prefix="midframe-tests-")
os.environ["MIDFRAME_CACHE"] = ""
open_cache()
os.environ["MIDFRAME_CACHE"] = _cache.name

torch.set_num_threads(2)

ONE_THREAD = ("models", "ops", "training")
"""Folders of tests of networks so small that a second thread costs more time than it saves."""

_rights = no_real_time_threads()
# for the whole session: SVT-AV1, which renders some videos here, may starve a machine as root
_rights.__enter__()

SHARED = ("cluster", "web")
"""Folders of tests that share a cluster or a server."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes (`-n 3`), run all tests of a file or of a shared folder in one."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = PurePosixPath(nodeid.partition("::")[0])
            return str(path.parent if path.parent.name in SHARED else path)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes, begin with the files of slow tests, so that no process is left with
    one of them at the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow and item.path.parent.name not in SHARED)


hypothesis.settings.register_profile(  # examples may take long beside other work
    "tests",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def random_seed() -> None:
    """Random tensors do not depend on the tests that ran before in this process."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> None:
    """Set the number of PyTorch's threads; with two, videos are interpolated in parallel."""
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    torch.set_num_threads(1 if folder in ONE_THREAD else 2)


@pytest.fixture
def frame() -> Callable[..., np.ndarray[Any, Any]]:
    return render_frame


@pytest.fixture
def render_video(tmp_path: Path) -> Callable[..., Path]:
    def render(
        name: str = "in.mp4",
        frames: int = 12,
        rate: Fraction = Fraction(24000, 1001),
        size: tuple[int, int] = (64, 96),
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        sound: bool = True,
        cut_at: int | None = None,
        pts: list[int] | None = None,
        rotation: int = 0,
        picture: bool = True,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = None
            if picture:
                stream = container.add_stream(codec, rate)
                stream.width, stream.height, stream.pix_fmt = size[1], size[0], pixel_format
                stream.codec_context.time_base = 1 / rate
                stream.options = {"crf": "10"}
                if rotation:
                    stream.set_display_rotation(rotation)
            audio = container.add_stream("aac", 48000, layout="stereo") if sound else None
            for index in range(frames if stream else 0):
                scene = 1 if cut_at is not None and index >= cut_at else 0
                shown = av.VideoFrame.from_ndarray(
                    render_frame(index, *size, scene=scene), format="rgb24"
                )
                shown.pts = pts[index] if pts else index
                shown.time_base = 1 / rate
                container.mux(stream.encode(shown))
            if stream:
                container.mux(stream.encode(None))
            if audio:
                for chunk in sine(frames / rate):
                    container.mux(audio.encode(chunk))
                container.mux(audio.encode(None))
        return path

    return render


@pytest.fixture
def tiny_model() -> SepConv:
    torch.manual_seed(0)
    return build_model("sepconv", {"widths": [4, 8, 8], "taps": 9})


@pytest.fixture
def tiny_weights(tmp_path: Path, tiny_model: SepConv) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model, path, {"data": "none"})
    return path


@pytest.fixture
def packets() -> Callable[[Path, str], list[tuple[Any, ...]]]:
    def read(path: Path, kind: str) -> list[tuple[Any, ...]]:
        with av.open(str(path)) as container:
            stream = next(stream for stream in container.streams if stream.type == kind)
            base = stream.time_base
            found = [packet for packet in container.demux(stream) if packet.size]
            return [(bytes(packet), packet.pts * base, packet.duration * base) for packet in found]

    return read


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: status, standard output, standard error."""
    from midframe import cli
    from midframe.cli import shared

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["midframe", *map(str, words)])
        for console in (shared.out, shared.err):
            monkeypatch.setattr(console, "width", 200)
        monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return call
