from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, planes, render_frame

from midframe.video.overlays import FRAMES, OverlayFinder
from midframe.video.pipeline import interpolate_video

LOGO = (slice(16, 28), slice(60, 84))


def with_logo(time: float, height: int = 96, width: int = 128) -> np.ndarray:
    """A moving background and a static striped logo in front of it."""
    image = render_frame(2 * time, height, width)
    stripes = np.arange(LOGO[1].stop - LOGO[1].start) // 3 % 2 * 255
    image[LOGO] = stripes[None, :, None]
    return image


def passing(time: int) -> np.ndarray:
    """A ball before a static wall, which moves by more than its size from frame to frame."""
    image = render_frame(0, 96, 128)
    rows, columns = np.mgrid[0:96, 0:128]
    image[(rows - 48) ** 2 + (columns - 24 * time + 40) ** 2 < 8**2] = (250, 250, 250)
    return image


def frames(images: list[np.ndarray]) -> list[av.VideoFrame]:
    return [
        av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        for image in images
    ]


def found(shown: list[av.VideoFrame], cut: int | None = None) -> np.ndarray | None:
    finder = OverlayFinder()
    for n, (before, after) in enumerate(pairwise(shown)):
        finder.add_pair(before, after, cut=n == cut)
    return finder.overlays()


def test_a_logo_before_a_moving_image_is_found() -> None:
    seen = found(frames([with_logo(n) for n in range(FRAMES + 2)]))
    assert seen is not None
    inside = seen[LOGO[0].start + 2 : LOGO[0].stop - 2, LOGO[1].start + 2 : LOGO[1].stop - 2]
    assert inside.mean() > 0.95
    assert (seen.sum() - inside.sum()) / seen.size < 0.08


def test_an_object_that_passes_a_wall_is_no_overlay_and_neither_is_the_wall() -> None:
    seen = found(frames([passing(n) for n in range(8)]))
    assert seen is None or seen.sum() == 0


def test_a_static_video_has_no_overlays() -> None:
    assert found(frames([with_logo(0)] * 8)) is None


def test_a_cut_restarts_the_search() -> None:
    assert found(frames([with_logo(n) for n in range(FRAMES + 2)]), cut=FRAMES) is None


class Bender(Averager):
    """Moves everything, as networks do with static areas before a moving background."""

    def interpolate_many(self, first, second, times, *, progress=None):  # type: ignore[no-untyped-def]
        return [np.roll(first, 2, axis=1) for _ in times]


@pytest.mark.parametrize("overlays", [True, False])
def test_overlays_are_kept_unless_the_option_is_off(tmp_path: Path, overlays: bool) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", 24, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for n, frame in enumerate(frames([with_logo(n) for n in range(10)])):
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    interpolate_video(source, target, model=Bender(), codec="ffv1", overlays=overlays)
    luma = [planes(frame)[0] for frame in frames_of(target)]
    inner = (slice(LOGO[0].start + 2, LOGO[0].stop - 2), slice(LOGO[1].start + 3, LOGO[1].stop - 3))
    error = abs(luma[17][inner] - (luma[16][inner] + luma[18][inner]) / 2).mean()
    assert error < 2 if overlays else error > 50
