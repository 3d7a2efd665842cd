"""Errors of a file that cannot be written state their cause."""

import errno
import os
from pathlib import Path

import av
import pytest

from midframe.media.writing.writer import VideoWriter


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_header_error_on_a_full_disk_is_not_attributed_to_codec_or_streams(number: int) -> None:
    writer = VideoWriter.__new__(VideoWriter)
    writer.path = Path("out.mp4")
    text = str(writer._header_error(av.FFmpegError(number, os.strerror(number))))
    assert text.startswith("out.mp4 cannot be written (")
    assert text.endswith("choose another place for OUT")
