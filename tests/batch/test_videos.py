from pathlib import Path

import pytest

from midframe.batch.videos import find_files, find_videos, name_videos, skipped_suffixes
from midframe.errors import VideoError


def use_mp4(source: Path) -> str:
    return ".mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "sub/a.avi", "sub/A.MOV", ".hidden.mp4", ".trash/c.mp4", "notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def test_videos_are_found_in_subfolders_and_hidden_ones_are_skipped(folder: Path) -> None:
    videos = find_videos(folder, folder.parent / "out", use_mp4)
    assert [video.name for video in videos] == ["b.mp4", "sub/A.mp4", "sub/a.mp4"]
    assert videos[2].source == folder / "sub" / "a.avi"
    assert videos[2].target == folder.parent / "out" / "sub" / "a.mp4"


def test_broken_links_are_found_and_files_without_a_video_suffix_are_counted(folder: Path) -> None:
    (folder / "dead.mp4").symlink_to("nowhere.mp4")
    (folder / "c.M2T").touch()
    (folder / "d").touch()
    videos = find_videos(folder, folder.parent / "out", use_mp4)
    assert {"dead.mp4", "c.M2T"} <= {video.source.name for video in videos}
    files = find_files(folder, folder.parent / "out")
    assert skipped_suffixes(folder, files) == {"": 1, ".txt": 1}


def test_results_with_the_same_name_keep_the_suffix_of_their_source(folder: Path) -> None:
    (folder / "b.mkv").touch()
    names = [video.name for video in find_videos(folder, folder.parent / "out", use_mp4)]
    assert names[:2] == ["b.mkv.mp4", "b.mp4.mp4"]


def test_an_output_folder_inside_the_source_folder_is_not_searched(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    (out / "b.mp4").touch()
    assert len(find_videos(folder, out, use_mp4)) == 3
    with pytest.raises(VideoError, match="folder of the sources"):
        find_videos(folder, folder, use_mp4)
    with pytest.raises(VideoError, match="not a folder"):
        find_videos(folder / "b.mp4", out, use_mp4)


def test_results_of_an_earlier_batch_are_not_interpolated_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = folder / "sub" / "earlier"
    (earlier / ".midframe").mkdir(parents=True)
    (earlier / "a.mp4").touch()
    out = folder.parent / "out"
    assert len(find_videos(folder, out, use_mp4)) == 3
    assert len(find_videos(folder, out, use_mp4)) == 3
    assert caplog.text.count(f"{earlier} has the results of an earlier batch") == 1
    assert [video.name for video in find_videos(earlier, out, use_mp4)] == ["a.mp4"]


def test_listed_videos_go_to_one_folder_and_need_different_names(tmp_path: Path) -> None:
    videos = name_videos(
        [tmp_path / "a" / "x.mov", tmp_path / "b" / "y.mov"], tmp_path / "out", use_mp4
    )
    assert [video.target for video in videos] == [tmp_path / "out/x.mp4", tmp_path / "out/y.mp4"]
    with pytest.raises(VideoError, match=r"two sources are named x\.mov"):
        name_videos([tmp_path / "a" / "x.mov", tmp_path / "b" / "x.mov"], tmp_path / "out", use_mp4)


def test_an_output_folder_above_the_source_folder_is_accepted(folder: Path) -> None:
    assert len(find_videos(folder, folder.parent, use_mp4)) == 3


def test_links_to_folders_are_followed(folder: Path) -> None:
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "c.mp4").touch()
    (folder / "link").symlink_to("../other")
    names = [video.name for video in find_videos(folder, folder.parent / "out", use_mp4)]
    assert names == ["b.mp4", "link/c.mp4", "sub/A.mp4", "sub/a.mp4"]


def test_a_lengthened_name_never_equals_that_of_another_result(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("a.avi", "a.mp4", "a.avi.mp4", "b.mp4")]
    for path in sources:
        path.touch()
    videos = find_videos(tmp_path, tmp_path / "out", lambda _: ".mp4")
    names = {video.source.name: video.name for video in videos}
    assert len(set(names.values())) == len(sources)
    assert names["b.mp4"] == "b.mp4"
