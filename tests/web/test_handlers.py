"""Handlers of the buttons of the page, without Gradio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from helpers.heic import write_heic
from helpers.video import Averager, Breaker

from midframe.errors import OptionError, SourceError
from midframe.media.pictures.images import write_image
from midframe.options import EncodingOptions, RetimingOptions, SourceOptions, VideoOptions
from midframe.web import fragments
from midframe.web.handlers import TARGET, Server, VideoForm
from midframe.web.jobs import Job
from midframe.web.limits import probe_picture, probe_video
from midframe.web.networks import Networks
from midframe.web.options import Limits
from midframe.web.storage import StoredFile

Render = Callable[..., Path]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(Limits(), Networks(lambda name: {"broken": Breaker}.get(name, Averager)()), 1)
    yield server
    server.close()


def upload(server: Server, path: Path) -> str:
    """Upload a video and return the token of its session."""
    session = server.storage.open_session()
    stored = path.rename(session.new_path())
    facts = probe_video(stored, server.limits)
    session.set_upload("video", StoredFile(stored, facts.media_type, facts, path.name))
    return session.token


def last(texts: AsyncIterator[str]) -> str:
    async def read() -> list[str]:
        return [text async for text in texts]

    return asyncio.run(read())[-1]


def test_the_fields_are_converted_to_options() -> None:
    assert VideoForm("flowsep").options() == VideoOptions(
        RetimingOptions(factor=2), SourceOptions(), EncodingOptions("h264")
    )
    form = VideoForm("flowsep", TARGET, None, " 59.94 ", 4, "0:01", "2", "av1", True, True)
    assert form.options() == VideoOptions(
        RetimingOptions(fps="59.94", slow=4),
        SourceOptions("0:01", "2", deinterlace=True),
        EncodingOptions("av1", mute=True),
    )


@pytest.mark.parametrize(
    "form",
    [
        VideoForm("flowsep", factor=0),
        VideoForm("flowsep", factor=0.5),
        VideoForm("flowsep", factor=17),
        VideoForm("flowsep", slow=0),
        VideoForm("flowsep", slow=1e9),
        VideoForm("flowsep", TARGET, fps="fast"),
        VideoForm("flowsep", start="1:00", end="0:30"),
    ],
)
def test_an_invalid_field_raises_an_option_error(form: VideoForm) -> None:
    with pytest.raises(OptionError):
        form.options()


def test_an_invalid_field_is_explained_next_to_the_properties_of_the_video(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video())
    text = last(server.describe_video(token, "flowsep", TARGET, None, "fast"))
    assert "96 × 64" in text
    assert 'role="alert"' in text


def test_time_is_estimated_before_the_work(server: Server, render_video: Render) -> None:
    token = upload(server, render_video(frames=24))
    text = last(server.describe_video(token, "flowsep"))
    assert "48 frames, 23 of them interpolated. About" in text


def test_an_estimate_without_a_measured_speed_states_the_reason(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video(frames=24))
    for _ in range(2):
        server.jobs.submit(lambda job: [job.report(0, 1) for _ in iter(int, 1)], token)
    text = last(server.describe_video(token, "flowsep"))
    assert "48 frames, 23 of them interpolated. The speed of this machine was not meas" in text
    server.cancel(token)


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.heic"])
def test_an_image_of_any_format_is_shown_as_a_jpeg(
    server: Server, tmp_path: Path, frame: Callable[..., Any], name: str
) -> None:
    session = server.storage.open_session()
    path = session.new_path()
    write = write_heic if name.endswith("heic") else write_image
    write(tmp_path / name, frame(0))
    (tmp_path / name).rename(path)
    facts = probe_picture(path, server.limits)
    session.set_upload("first", StoredFile(path, facts.media_type, facts, name))
    assert 'src="data:image/jpeg;base64,' in server.show_clickable(session.token)


def test_nothing_is_described_before_an_upload(server: Server) -> None:
    token = server.storage.open_session().token
    assert last(server.describe_video(token, "flowsep")) == ""
    assert "there is no video yet" in last(server.convert_video(token, "flowsep"))


def test_an_expired_page_is_explained(server: Server) -> None:
    assert "this page has expired: reload it" in last(server.convert_video("guess", "flowsep"))


def test_an_error_of_the_interpolation_is_shown_without_a_traceback(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video())
    text = last(server.convert_video(token, "broken"))
    assert "the network broke" in text
    assert "Traceback" not in text
    assert len(list(server.storage.find(token).folder.iterdir())) == 1


def test_error_messages_contain_no_private_path(server: Server) -> None:
    error = SourceError(f"{server.storage.root}/0123/abc cannot be read: try again")
    job = server.jobs.submit(Mock(side_effect=error), "anna")
    assert job.wait(30)
    assert job.message == "the file cannot be read: try again"


def test_the_progress_of_a_job_does_not_alternate_with_that_of_a_later_one(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video())
    session = server.storage.find(token)
    job = server.jobs.submit(lambda job: [job.report(0, 1) for _ in iter(int, 1)], token)
    session.works["video"] = job, lambda *_: ""

    async def show_again() -> list[str]:
        texts = []
        async for text in server.show_again(token, "video"):
            texts.append(text)
            session.works["video"] = job, lambda *_: "later"
            if len(texts) == 2:
                server.cancel(token)
        return texts

    assert len(asyncio.run(show_again())) == 1


def test_a_starting_job_is_shown_as_preparing_not_as_waiting() -> None:
    job = Job(lambda _: None, "anna")  # taken from the queue but not running yet
    assert "Preparing" in fragments.job_progress(job, 0)
    assert "1 job is before yours" in fragments.job_progress(job, 1)


def test_a_closed_session_cancels_its_jobs_before_deleting_its_files(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video())
    session = server.storage.find(token)
    job = server.jobs.submit(lambda job: [job.report(0, 1) for _ in iter(int, 1)], token)
    server.storage.close_session(token)
    assert job.status == "cancelled"
    assert not session.folder.exists()


def test_a_result_is_not_compared_with_a_video_that_replaced_its_source(
    server: Server, render_video: Render
) -> None:
    token = upload(server, render_video("first.mp4"))
    session = server.storage.find(token)
    other = render_video("second.mp4")

    async def convert() -> str:
        texts = []
        async for text in server.convert_video(token, "flowsep", TARGET, None, "20"):
            texts.append(text)
            if session.uploads["video"].title == "first.mp4":
                stored = other.rename(session.new_path())
                facts = probe_video(stored, server.limits)
                session.set_upload(
                    "video", StoredFile(stored, facts.media_type, facts, "second.mp4")
                )
        return texts[-1]

    text = asyncio.run(convert())
    assert "result of first.mp4, which another video has replaced" in text
    assert 'download="first-midframe.mp4"' in text
    assert text.count("src=") == 1
    assert "source frames are kept" in text  # a warning of the report
