"""Reading and writing WebDataset shards: tar files in which the members of a sample share a key.

A sample is `KEY.0.jpg`, `KEY.1.jpg`, ... (its frames in order) and `KEY.json` (its metadata).
Members are read by their offset in the file, in any order, so that training resumes at exactly the
sample where it stopped.
"""

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from midframe.errors import DatasetError
from midframe.folders import visible_files

Frames = np.ndarray[Any, np.dtype[np.uint8]]

JPEG_QUALITY = 95


class ShardWriter:
    """Writes samples to a tar file, which is renamed to its path when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = path.with_name(path.name + ".part")
        self._tar = tarfile.open(self._unfinished, "w")  # noqa: SIM115  # closed in __exit__

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._tar.close()  # writes the end of the archive, which fails on a full disk
            if not error:
                self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def write(self, key: str, frames: Frames, metadata: dict[str, Any]) -> None:
        """Add a sample: frames (F, H, W, 3) RGB uint8, and metadata."""
        self.write_encoded(key, [encode_jpeg(frame) for frame in frames], metadata)

    def write_encoded(self, key: str, frames: list[bytes], metadata: dict[str, Any]) -> None:
        """Add a sample whose frames are JPEG data."""
        for index, frame in enumerate(frames):
            self._add(f"{key}.{index}.jpg", frame)
        self._add(f"{key}.json", json.dumps(metadata).encode())

    def _add(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


@dataclass(frozen=True)
class Sample:
    """The members of one sample, by offset and length in bytes; frames are in order."""

    path: Path
    frames: tuple[tuple[int, int], ...]
    metadata: tuple[int, int]


class Shards:
    """Reads the samples of several shards in any order.

    Args:
        paths: tar files that `ShardWriter` wrote.

    Raises:
        DatasetError: there are no samples, or a shard is truncated or damaged.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.samples = [sample for path in sorted(paths) for sample in _index(path)]
        if not self.samples:
            raise DatasetError(
                "the dataset has no samples: create it with `midframe dataset create VIDEOS OUT`"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def frame_count(self, index: int) -> int:
        """Return the number of frames of a sample."""
        return len(self.samples[index].frames)

    def read_frames(self, index: int, chosen: Iterable[int] | None = None) -> Frames:
        """Decode the frames of a sample, or some of them, (F, H, W, 3) RGB uint8."""
        path = self.samples[index].path
        return np.stack([decode_jpeg(content, path) for content in self.read_jpeg(index, chosen)])

    def read_jpeg(self, index: int, chosen: Iterable[int] | None = None) -> list[bytes]:
        """Return the stored JPEG data of the frames of a sample, or of some of them."""
        sample = self.samples[index]
        places = sample.frames if chosen is None else [sample.frames[number] for number in chosen]
        with sample.path.open("rb") as file:
            return [_read(file, *place) for place in places]

    def read_metadata(self, index: int) -> dict[str, Any]:
        """Return the metadata of a sample: its clip, position, stride and motion."""
        sample = self.samples[index]
        with sample.path.open("rb") as file:
            metadata: dict[str, Any] = json.loads(_read(file, *sample.metadata))
        return metadata


def shard_files(folder: Path) -> list[Path]:
    """List the shards in a folder, sorted by name."""
    return visible_files(folder, folder.glob("*.tar"))


def encode_jpeg(frame: Frames) -> bytes:
    """Encode an RGB image at quality 95 without chroma subsampling (4:4:4)."""
    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), flags)
    assert done, "every 8-bit RGB image can be encoded as JPEG"
    return bytes(content)


def decode_jpeg(content: bytes, source: Path) -> Frames:
    """Decode an RGB image; `source` is the file named in the error.

    Raises:
        DatasetError: the image is damaged.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise DatasetError(
            f"{source} contains a damaged image: delete it and run `midframe dataset create` again"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _read(file: Any, offset: int, length: int) -> bytes:
    file.seek(offset)
    content: bytes = file.read(length)
    return content


def _index(path: Path) -> list[Sample]:
    members: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                members[key][kind] = (member.offset_data, member.size)
        _check_length(path, members)
    except (tarfile.TarError, OSError, EOFError) as error:
        message = (
            f"{path} is not a complete shard ({error}): delete it and run "
            "`midframe dataset create` again"
        )
        raise DatasetError(message) from error
    return [_sample(path, kinds) for kinds in members.values() if "json" in kinds]


def _sample(path: Path, kinds: dict[str, tuple[int, int]]) -> Sample:
    frames = sorted(
        (int(kind.partition(".")[0]), place)
        for kind, place in kinds.items()
        if kind.endswith(".jpg")
    )
    return Sample(path, tuple(place for _, place in frames), kinds["json"])


def _check_length(path: Path, members: dict[str, dict[str, tuple[int, int]]]) -> None:
    """Check that the file holds its last member; tarfile accepts an end between two headers."""
    ends = [offset + length for kinds in members.values() for offset, length in kinds.values()]
    if ends and path.stat().st_size < max(ends) + 2 * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("truncated")
