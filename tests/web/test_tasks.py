"""The jobs of the page, with a stand-in for the network."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.video import Averager, frames_of
from PIL import Image

from midframe.cli.web import conversions_silenced
from midframe.errors import OptionError, SourceError
from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.images import read_image, write_image
from midframe.options import EncodingOptions, RetimingOptions, VideoOptions
from midframe.video.sinks.protocol import abort_on_error
from midframe.web import fragments
from midframe.web.jobs import CancelledError, Job
from midframe.web.limits import probe_picture, probe_video
from midframe.web.networks import Networks, WatchedInterpolator, thumbnail, to_bytes
from midframe.web.options import Limits
from midframe.web.storage import Session, Storage, StoredFile
from midframe.web.tasks import pictures_work, pixel_work, speed_work, video_work

Render = Callable[..., Path]
NETWORKS = Networks(lambda _: Averager())


@pytest.fixture
def session() -> Iterator[Session]:
    storage = Storage(1, lambda _: None)
    yield storage.open_session()
    storage.close()


def upload(session: Session, slot: str, path: Path) -> StoredFile:
    stored = path.rename(session.new_path(word=slot))
    probe = probe_video if slot == "video" else probe_picture
    facts = probe(stored, Limits())
    session.set_upload(slot, StoredFile(stored, facts.media_type, facts, path.name))
    return session.uploads[slot]


def run(work: Callable[[Job], object]) -> Job:
    job = Job(work, "anna")
    job.run()
    return job


def test_a_video_is_interpolated(session: Session, render_video: Render) -> None:
    upload(session, "video", render_video())
    job = run(video_work(session, NETWORKS, "flowsep", VideoOptions(RetimingOptions(factor=3))))
    assert job.status == "done", job.message
    result = session.files[job.result.name]
    assert len(frames_of(result.path)) == job.result.report.frames_out == 36
    assert (job.progress.done, job.progress.total) == (12, 12)
    assert job.progress.picture.startswith(b"\xff\xd8")  # a JPEG
    assert len(list(session.folder.iterdir())) == 2


def test_a_cancelled_video_leaves_no_files(session: Session, render_video: Render) -> None:
    source = upload(session, "video", render_video())
    work = video_work(session, NETWORKS, "flowsep", VideoOptions())

    def cancel_and_work(job: Job) -> object:
        job.show = lambda _: job.cancel()  # type: ignore[method-assign]
        return work(job)

    assert run(cancel_and_work).status == "cancelled"
    assert list(session.folder.iterdir()) == [source.path]


def test_a_cancelled_job_logs_no_messages_on_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    level = logging.getLogger("midframe.video").level
    with (
        conversions_silenced(),
        pytest.raises(CancelledError),
        abort_on_error(lambda: tmp_path),
    ):
        raise CancelledError
    assert caplog.messages == []
    assert logging.getLogger("midframe.video").level == level


def test_a_replaced_upload_is_refused(session: Session, render_video: Render) -> None:
    upload(session, "video", render_video())
    work = video_work(session, NETWORKS, "flowsep", VideoOptions())
    upload(session, "video", render_video("other.mp4"))
    job = run(work)
    assert job.message == "the video was replaced before the work began: start again"
    assert len(list(session.folder.iterdir())) == 1


def test_work_without_files_is_refused(session: Session) -> None:
    with pytest.raises(SourceError, match="there is no video yet"):
        video_work(session, NETWORKS, "flowsep", VideoOptions())
    with pytest.raises(SourceError, match="two pictures are needed"):
        pixel_work(session, NETWORKS, "flowsep", 0.5, 0.5)
    with pytest.raises(OptionError, match="frames between are 0: 1 to 31"):
        pictures_work(session, NETWORKS, "flowsep", 0)


def test_an_error_message_contains_no_private_path(session: Session, render_video: Render) -> None:
    upload(session, "video", render_video())
    options = VideoOptions(encoding=EncodingOptions("vp9", crf=999))
    job = run(video_work(session, NETWORKS, "flowsep", options))
    assert job.status == "failed"
    assert str(session.folder) not in job.message


def test_frames_between_images_are_in_order(
    session: Session, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    for n, slot in enumerate(("first", "second")):
        write_image(tmp_path / f"{n}.png", frame(3 * n))
        upload(session, slot, tmp_path / f"{n}.png")
    job = run(pictures_work(session, NETWORKS, "flowsep", 3))
    assert job.status == "done", job.message
    images = [read_image(session.files[name].path) for name in job.result.names]
    assert len(images) == 5
    assert np.array_equal(images[0], frame(0))
    assert np.array_equal(images[-1], frame(3))
    expected = frame(0) * 0.75 + frame(3) * 0.25
    assert abs(images[1] - expected).max() < 0.51  # rounded once


def test_images_of_different_sizes_are_refused(
    session: Session, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    for slot, size in (("first", (64, 96)), ("second", (32, 48))):
        write_image(tmp_path / "a.png", frame(0, *size))
        upload(session, slot, tmp_path / "a.png")
    with pytest.raises(SourceError, match="the pictures have 96x64 and 48x32 pixels"):
        pictures_work(session, NETWORKS, "flowsep", 1)


def test_a_watched_interpolator_gives_the_same_frames(frame: Callable[..., np.ndarray]) -> None:
    previews: list[bytes] = []
    tool = WatchedInterpolator(Averager(), previews.append, lambda: None)
    images = tool.interpolate_many(frame(0), frame(2), [0.25, 0.5])
    expected = Averager().interpolate_many(frame(0), frame(2), [0.25, 0.5])
    for image, other in zip(images, expected, strict=True):
        assert abs(image.astype(int) - other).max() <= 1  # halves may round differently as floats
    assert len(previews) == 1


@pytest.mark.parametrize(("dtype", "peak"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_thumbnails_are_created_from_all_data_types(dtype: str, peak: float) -> None:
    frame = np.full((1200, 40, 4), peak, dtype)
    assert to_bytes(frame).min() == 255
    assert thumbnail(frame).startswith(b"\xff\xd8")


def test_only_one_network_is_kept_in_memory() -> None:
    loaded: list[str] = []

    def load(name: str) -> Averager:
        loaded.append(name)
        return Averager()

    networks = Networks(load)
    for name in ("a", "a", "b", "a"):
        networks.get(name)
    assert loaded == ["a", "b", "a"]


def test_a_measured_speed_is_scaled_by_the_number_of_pixels() -> None:
    networks = Networks(lambda _: Averager())
    assert networks.seconds("flowsep", 1920, 1080) is None
    measured = networks.measure("flowsep", 1920, 1080)
    assert networks.seconds("flowsep", 960, 540) == pytest.approx(measured / 4)


def test_measuring_a_speed_can_be_cancelled() -> None:
    job = Job(speed_work(NETWORKS, "flowsep", 64, 48), "anna")
    checks: list[None] = []

    def check() -> None:
        checks.append(None)
        if len(checks) > 3:
            raise CancelledError

    job.check = check  # type: ignore[method-assign]
    job.run()
    assert job.status == "cancelled"


def test_html_and_templates_in_a_file_name_are_escaped() -> None:
    name = fragments.display_name('C:\\films\\<img src="x">${1}{{2}}\n.mp4')
    assert name == '<img src="x">${1}{{2}}.mp4'
    escaped = fragments.escape(name)
    assert not set(escaped) & set('<>"${}`')


def test_a_long_file_name_is_shortened_and_keeps_its_suffix() -> None:
    name = fragments.display_name(f"{'a' * 300}.mp4")
    assert len(name) == 80
    assert name.endswith("a…aaaaaa.mp4")
    assert fragments.display_name(f"{'a' * 76}.mp4") == f"{'a' * 76}.mp4"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.6, "1 min"), (125, "2 min 05 s"), (14400, "4 h")],
)
def test_durations_are_formatted_with_units(seconds: float, text: str) -> None:
    assert fragments.format_duration(seconds) == text


def test_frames_between_images_keep_alpha_and_bit_depth_and_report_losses(
    session: Session, tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    high_bit_depth, alpha = tmp_path / "deep.png", tmp_path / "clear.gif.webp"
    write_image(high_bit_depth, frame(0).astype(np.uint16) * 257)
    images = [Image.fromarray(np.dstack([frame(n), frame(n)[..., 0]])) for n in (2, 3)]
    images[0].save(alpha, save_all=True, append_images=images[1:], lossless=True)
    upload(session, "first", high_bit_depth)
    upload(session, "second", alpha)
    job = run(pictures_work(session, NETWORKS, "flowsep", 1))
    assert job.status == "done", job.message
    middle = read_picture(session.files[job.result.names[1]].path).image
    assert (middle.dtype, middle.shape) == (np.uint16, (64, 96, 4))
    html = fragments.picture_viewer(["a", "b"], job.result.dropped)
    assert ">dropped: 1 of 2 images in the file of the second picture<" in html
