"""Commands for pairs of pictures and for scores: what they keep, what they report, what they refuse
before the work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.flowsep import TINY
from helpers.video import render_frame
from PIL import Image, ImageCms

from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.images import write_image
from midframe.models.checkpoint import save_model
from midframe.models.flowsep import FlowSep

Run = Callable[..., tuple[int, str, str]]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def command(run: Run, tiny_weights: Path) -> Run:
    return lambda *words: run(*words, "--model", tiny_weights)


def dropped(errors: str) -> list[str]:
    return [
        line.removeprefix("midframe: dropped: ")
        for line in errors.splitlines()
        if "dropped" in line
    ]


def test_grey_pictures_of_16_bits_are_not_white(command: Run, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))
    for name in ("a.png", "b.png"):
        Image.fromarray(ramp).save(tmp_path / name)
    status, _, errors = command("image", tmp_path / "a.png", tmp_path / "b.png")
    made = read_picture(tmp_path / "a-mid.png").image
    assert (status, dropped(errors), made.dtype) == (0, [], np.uint16)
    assert abs(made[8:-8, 8:-8, 1].astype(int) - ramp[8:-8, 8:-8]).mean() < 2000


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_bits_alpha_and_profile_are_kept_where_they_can_be(
    command: Run, tmp_path: Path, suffix: str
) -> None:
    write_image(tmp_path / "a.png", render_frame(0).astype(np.uint16) * 257 + 3, PROFILE)
    Image.fromarray(np.dstack([render_frame(1), render_frame(2)[..., 0]])).save(
        tmp_path / "b.png", icc_profile=PROFILE
    )
    out = tmp_path / f"out.{suffix}"
    status, _, errors = command("image", tmp_path / "a.png", tmp_path / "b.png", out)
    made = read_picture(out)
    assert (status, dropped(errors)) == (0, [])
    assert (made.image.shape[2], made.image.dtype, made.icc_profile) == (4, np.uint16, PROFILE)


def test_what_the_format_cannot_hold_is_reported(command: Run, tmp_path: Path) -> None:
    deep = np.dstack([render_frame(0), render_frame(2)[..., 0]]).astype(np.uint16) * 257
    write_image(tmp_path / "a.png", deep, PROFILE)
    write_image(tmp_path / "b.png", render_frame(1))
    status, _, errors = command(
        "image", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out.bmp"
    )
    assert status == 0
    assert dropped(errors) == [
        f"exact colours of {tmp_path / 'b.png'} (it has no ICC profile, the other image has one)",
        "alpha (BMP has none)",
        "bits beyond 8 of each sample (BMP; PNG and TIFF hold 16)",
        "ICC profile (BMP has none)",
    ]
    assert read_picture(tmp_path / "out.bmp").image.shape == (64, 96, 3)


def test_what_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("midframe.models.function.load_model", work)
    monkeypatch.setattr("midframe.load_model", work, raising=False)
    pictures = tmp_path / "frame10.png", tmp_path / "frame10i11.png", tmp_path / "frame11.png"
    for time, path in enumerate(pictures):
        write_image(path, render_frame(time))
    (tmp_path / "file").touch()
    nowhere, blocked = tmp_path / "nowhere" / "x", tmp_path / "file" / "x"
    for words in (
        ("image", *pictures[:2], nowhere.with_suffix(".png")),
        ("image", *pictures[:2], tmp_path / "m.xyz"),
        ("image", *pictures[:2], pictures[1], "--overwrite"),
        ("visualize", *pictures[:2], nowhere.with_suffix(".png")),
        ("visualize", *pictures[:2], pictures[1], "--overwrite"),
        ("kernels", *pictures[:2], tmp_path / "m.xyz"),
        ("evaluate", tmp_path, "--save", blocked),
        ("evaluate", tmp_path, "--save", tmp_path / "file"),
        ("evaluate", tmp_path, "--save", tmp_path),
        ("score", pictures[0], blocked),
        ("score", pictures[0], tmp_path / "file"),
        ("export", "flowsep", nowhere),
        ("export", "flowsep", blocked),
        ("export", "flowsep", tmp_path / "file"),
        ("export", tmp_path / "file", tmp_path / "file", "--overwrite"),
    ):
        status, _, errors = run(*words)
        assert (status, len(errors.strip().splitlines())) == (1, 1), (words, errors)
        assert "Traceback" not in errors


def test_a_data_set_of_one_scene_is_saved_under_a_name_that_is_seen(
    command: Run, tmp_path: Path
) -> None:
    for time, name in enumerate(("frame10.png", "frame10i11.png", "frame11.png")):
        write_image(tmp_path / name, render_frame(time))
    assert command("evaluate", tmp_path, "--save", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out" / "interpolated").iterdir()] == ["scene.png"]


@pytest.mark.parametrize("words", [("compare",), ("score", "--no-minterpolate")])
def test_animations_with_alpha_are_compared_and_scored(
    command: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    frames = [
        Image.fromarray(np.dstack([render_frame(n), render_frame(n)[..., 0]])) for n in range(5)
    ]
    frames[0].save(
        tmp_path / "a.apng", format="PNG", save_all=True, append_images=frames[1:], duration=100
    )
    status, _, errors = command(words[0], tmp_path / "a.apng", *words[1:])
    assert status == 0, errors


@pytest.mark.parametrize("options", [(), ("--ensemble", 2, "--scale", 1)])
def test_full_confidence_is_seen_in_the_figure(
    run: Run, tmp_path: Path, options: tuple[str | int, ...]
) -> None:
    torch.manual_seed(0)
    save_model(FlowSep(TINY), tmp_path / "tiny.safetensors", {})
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, render_frame(0))
    words = (
        tmp_path / "a.png",
        tmp_path / "b.png",
        tmp_path / "look.png",
        "--model",
        tmp_path / "tiny.safetensors",
        *options,
    )
    assert run("visualize", *words)[0] == 0
    figure = np.asarray(Image.open(tmp_path / "look.png").convert("RGB")).astype(int)
    height, width, _ = figure.shape
    panel = figure[height * 3 // 4, width * 5 // 8]  # the third of the second row
    assert abs(panel - 255).max() > 60
