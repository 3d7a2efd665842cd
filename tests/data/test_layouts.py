"""Layouts of public benchmarks, as miniature copies."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from midframe.data.layouts import CENTRE, HALF, WHOLE, find_scenes
from midframe.errors import DatasetError


def draw(*paths: Path, size: tuple[int, int] = (8, 6)) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def numbered(folder: Path, pattern: str, numbers: range) -> list[Path]:
    return [folder / pattern.format(number) for number in numbers]


def test_a_linked_scene_is_found_once_despite_a_circular_link(tmp_path: Path) -> None:
    names = ("frame10.png", "frame10i11.png", "frame11.png")
    draw(*(tmp_path / "elsewhere" / "Army" / name for name in names))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere" / "Army")
    (tmp_path / "set" / "circle").symlink_to(tmp_path / "set")
    assert [scene.name for scene in find_scenes(tmp_path / "set")] == ["linked"]


def test_middlebury_scenes_are_found(tmp_path: Path) -> None:
    draw(*(tmp_path / "Urban2" / name for name in ("frame10.png", "frame10i11.png", "frame11.png")))
    draw(tmp_path / "Army" / "frame10i11.png")
    (scene,) = find_scenes(tmp_path)
    assert (scene.name, scene.first.name, scene.middle.name) == (
        "Urban2",
        "frame10.png",
        "frame10i11.png",
    )


def test_the_folder_may_be_a_string(tmp_path: Path) -> None:
    draw(*(tmp_path / "Venus" / f"frame{name}.png" for name in ("10", "10i11", "11")))
    assert find_scenes(str(tmp_path)) == find_scenes(tmp_path)
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        find_scenes("nowhere")


def test_ucf101_scenes_are_found(tmp_path: Path) -> None:
    for name in ("1", "2"):
        draw(
            *(
                tmp_path / name / file
                for file in ("frame_00.png", "frame_01_gt.png", "frame_02.png")
            )
        )
    assert [scene.second.name for scene in find_scenes(tmp_path)] == ["frame_02.png"] * 2


def test_vimeo_triplets_of_the_test_list_are_found(tmp_path: Path) -> None:
    for name in ("00001/0001", "00001/0002"):
        draw(*numbered(tmp_path / "sequences" / name, "im{}.png", range(1, 4)))
    assert len(find_scenes(tmp_path)) == 2
    (tmp_path / "tri_testlist.txt").write_text("00001/0002\n\n")
    (scene,) = find_scenes(tmp_path)
    assert scene.name == "sequences/00001/0002"


def test_a_vimeo_septuplet_gives_its_three_middle_frames(tmp_path: Path) -> None:
    draw(*numbered(tmp_path / "sequences" / "00001" / "0001", "im{}.png", range(1, 8)))
    (scene,) = find_scenes(tmp_path)
    assert [path.name for path in (scene.first, scene.middle, scene.second)] == [
        "im3.png",
        "im4.png",
        "im5.png",
    ]


def test_snu_film_lists_are_groups(tmp_path: Path) -> None:
    draw(*numbered(tmp_path / "test" / "GOPRO_test" / "GOPR1", "{:06}.png", range(1, 8)))
    folder = "data/SNU-FILM/test/GOPRO_test/GOPR1"
    (tmp_path / "test-easy.txt").write_text(
        f"{folder}/000001.png {folder}/000002.png {folder}/000003.png\n"
    )
    (tmp_path / "test-hard.txt").write_text(
        f"{folder}/000001.png {folder}/000004.png {folder}/000007.png\n"
    )
    scenes = find_scenes(tmp_path)
    assert [(scene.group, scene.name) for scene in scenes] == [
        ("easy", "GOPR1/000002"),
        ("hard", "GOPR1/000004"),
    ]
    assert find_scenes(tmp_path / "test-hard.txt") == scenes[1:]


def test_xiph_scenes_are_downscaled_and_cropped(tmp_path: Path) -> None:
    draw(*numbered(tmp_path, "Tango-{:03}.png", range(1, 7)))
    scenes = find_scenes(tmp_path)
    assert [(scene.group, scene.name, scene.view) for scene in scenes] == [
        ("2K", "Tango-002", HALF), ("2K", "Tango-004", HALF), ("4K", "Tango-002", CENTRE),
        ("4K", "Tango-004", CENTRE),
    ]  # fmt: skip
    assert (scenes[0].first.name, scenes[0].second.name) == ("Tango-001.png", "Tango-003.png")


def test_an_unknown_layout_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"no complete scene of a known layout: Middlebury.*SNU-FILM"
    ):
        find_scenes(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        find_scenes(tmp_path / "nowhere")


def test_incomplete_scenes_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "abcdef":
        draw(*numbered(tmp_path / name, "im{}.png", range(1, 4)))
    for name, number in zip("abcde", (1, 2, 3, 2, 2), strict=True):
        (tmp_path / name / f"im{number}.png").unlink()
    assert [scene.name for scene in find_scenes(tmp_path)] == ["f"]
    assert "5 of 6 scenes lack a file and are not scored: a, b, c, ..." in caplog.text


def test_a_second_layout_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(*numbered(tmp_path / "a", "im{}.png", range(1, 4)))
    draw(*(tmp_path / "b" / name for name in ("frame10.png", "frame10i11.png", "frame11.png")))
    assert [scene.name for scene in find_scenes(tmp_path)] == ["b"]
    assert "several layouts: only Middlebury" in caplog.text


def test_scenes_in_a_linked_folder_are_found(tmp_path: Path) -> None:
    draw(*numbered(tmp_path / "elsewhere" / "a", "im{}.png", range(1, 4)))
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "link").symlink_to("../elsewhere")
    assert [scene.name for scene in find_scenes(tmp_path / "scenes")] == ["link/a"]


def test_an_image_is_refused_as_a_list_of_scenes(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png is no text"):
        find_scenes(tmp_path / "a.png")


def test_x_test_has_seven_times_in_two_sizes(tmp_path: Path) -> None:
    draw(*numbered(tmp_path / "Type1" / "TEST01", "{:04}.png", range(33)))
    scenes = find_scenes(tmp_path)
    assert [scene.t for scene in scenes] == [Fraction(n, 8) for n in range(1, 8)] * 2
    assert [scene.group for scene in scenes] == ["2K"] * 7 + ["4K"] * 7
    assert [scene.view for scene in scenes] == [HALF] * 7 + [WHOLE] * 7
    assert scenes[8].name == "Type1/TEST01/0008"
    paths = scenes[8].first, scenes[8].middle, scenes[8].second
    assert [path.stem for path in paths] == ["0000", "0008", "0032"]
