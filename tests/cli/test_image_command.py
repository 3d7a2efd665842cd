"""Commands for pairs of images and for scores: properties they keep, losses they report and targets
they refuse before the work."""

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
    return lambda *arguments: run(*arguments, "--model", tiny_weights)


def dropped(errors: str) -> list[str]:
    return [
        line.removeprefix("midframe: dropped: ")
        for line in errors.splitlines()
        if "dropped" in line
    ]


def test_16_bit_grey_images_keep_their_levels(command: Run, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))
    for name in ("a.png", "b.png"):
        Image.fromarray(ramp).save(tmp_path / name)
    status, _, errors = command("image", tmp_path / "a.png", tmp_path / "b.png")
    result = read_picture(tmp_path / "a-mid.png").image
    assert (status, dropped(errors), result.dtype) == (0, [], np.uint16)
    assert abs(result[8:-8, 8:-8, 1].astype(int) - ramp[8:-8, 8:-8]).mean() < 2000


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_bit_depth_alpha_and_icc_profile_are_kept(
    command: Run, tmp_path: Path, suffix: str
) -> None:
    write_image(tmp_path / "a.png", render_frame(0).astype(np.uint16) * 257 + 3, PROFILE)
    Image.fromarray(np.dstack([render_frame(1), render_frame(2)[..., 0]])).save(
        tmp_path / "b.png", icc_profile=PROFILE
    )
    out = tmp_path / f"out.{suffix}"
    status, _, errors = command("image", tmp_path / "a.png", tmp_path / "b.png", out)
    result = read_picture(out)
    assert (status, dropped(errors)) == (0, [])
    assert (result.image.shape[2], result.image.dtype, result.icc_profile) == (
        4,
        np.uint16,
        PROFILE,
    )


def test_properties_that_the_format_does_not_support_are_reported(
    command: Run, tmp_path: Path
) -> None:
    high_bit_depth = np.dstack([render_frame(0), render_frame(2)[..., 0]]).astype(np.uint16) * 257
    write_image(tmp_path / "a.png", high_bit_depth, PROFILE)
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


def test_a_target_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("midframe.models.function.load_model", work)
    monkeypatch.setattr("midframe.load_model", work, raising=False)
    paths = tmp_path / "frame10.png", tmp_path / "frame10i11.png", tmp_path / "frame11.png"
    for time, path in enumerate(paths):
        write_image(path, render_frame(time))
    (tmp_path / "file").touch()
    nowhere, blocked = tmp_path / "nowhere" / "x", tmp_path / "file" / "x"
    for arguments in (
        ("image", *paths[:2], nowhere.with_suffix(".png")),
        ("image", *paths[:2], tmp_path / "m.xyz"),
        ("image", *paths[:2], paths[1], "--overwrite"),
        ("visualize", *paths[:2], nowhere.with_suffix(".png")),
        ("visualize", *paths[:2], paths[1], "--overwrite"),
        ("kernels", *paths[:2], tmp_path / "m.xyz"),
        ("evaluate", tmp_path, "--save", blocked),
        ("evaluate", tmp_path, "--save", tmp_path / "file"),
        ("evaluate", tmp_path, "--save", tmp_path),
        ("score", paths[0], blocked),
        ("score", paths[0], tmp_path / "file"),
        ("export", "flowsep", nowhere),
        ("export", "flowsep", blocked),
        ("export", "flowsep", tmp_path / "file"),
        ("export", tmp_path / "file", tmp_path / "file", "--overwrite"),
    ):
        status, _, errors = run(*arguments)
        assert (status, len(errors.strip().splitlines())) == (1, 1), (arguments, errors)
        assert "Traceback" not in errors


def test_the_image_of_a_single_scene_gets_a_visible_file_name(command: Run, tmp_path: Path) -> None:
    for time, name in enumerate(("frame10.png", "frame10i11.png", "frame11.png")):
        write_image(tmp_path / name, render_frame(time))
    assert command("evaluate", tmp_path, "--save", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out" / "interpolated").iterdir()] == ["scene.png"]


@pytest.mark.parametrize("arguments", [("compare",), ("score", "--no-minterpolate")])
def test_animations_with_alpha_are_compared_and_scored(
    command: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    frames = [
        Image.fromarray(np.dstack([render_frame(n), render_frame(n)[..., 0]])) for n in range(5)
    ]
    frames[0].save(
        tmp_path / "a.apng", format="PNG", save_all=True, append_images=frames[1:], duration=100
    )
    status, _, errors = command(arguments[0], tmp_path / "a.apng", *arguments[1:])
    assert status == 0, errors


@pytest.mark.parametrize("options", [(), ("--ensemble", 2, "--scale", 1)])
def test_the_confidence_panel_is_not_white_for_identical_frames(
    run: Run, tmp_path: Path, options: tuple[str | int, ...]
) -> None:
    torch.manual_seed(0)
    save_model(FlowSep(TINY), tmp_path / "tiny.safetensors", {})
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, render_frame(0))
    arguments = (
        tmp_path / "a.png",
        tmp_path / "b.png",
        tmp_path / "look.png",
        "--model",
        tmp_path / "tiny.safetensors",
        *options,
    )
    assert run("visualize", *arguments)[0] == 0
    figure = np.asarray(Image.open(tmp_path / "look.png").convert("RGB")).astype(int)
    height, width, _ = figure.shape
    panel = figure[height * 3 // 4, width * 5 // 8]  # the third panel of the second row
    assert abs(panel - 255).max() > 60
