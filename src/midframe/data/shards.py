"""Samples in WebDataset shards: plain tar files in which the members of a sample share a key.

A sample is `KEY.0.jpg`, `KEY.1.jpg`, ... (its frames in order) and `KEY.json` (what is known of it). Members are read
by their place in the file, in any order, so that training resumes at exactly the sample where it stopped.
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
from midframe.folders import visible

Frames = np.ndarray[Any, np.dtype[np.uint8]]

JPEG_QUALITY = 95


class ShardWriter:
    """Write samples to a tar file that takes its name only when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = path.with_name(path.name + ".part")
        self._tar = tarfile.open(self._unfinished, "w")  # noqa: SIM115  # closed in __exit__

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._tar.close()  # which writes, so that a full disk may show here
            if not error:
                self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def write(self, key: str, frames: Frames, facts: dict[str, Any]) -> None:
        """Add a sample: frames (F, H, W, 3) RGB uint8, and its facts."""
        self.write_encoded(key, [encode_jpeg(frame) for frame in frames], facts)

    def write_encoded(self, key: str, frames: list[bytes], facts: dict[str, Any]) -> None:
        """Add a sample whose frames are JPEG already."""
        for index, frame in enumerate(frames):
            self._add(f"{key}.{index}.jpg", frame)
        self._add(f"{key}.json", json.dumps(facts).encode())

    def _add(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


@dataclass(frozen=True)
class Sample:
    """Where the members of one sample lie: offset and length in bytes, frames in order, then the facts."""

    path: Path
    frames: tuple[tuple[int, int], ...]
    facts: tuple[int, int]


class Shards:
    """The samples of many shards, read in any order.

    Args:
        paths: tar files as `ShardWriter` makes them.

    Raises:
        DatasetError: there is no sample, or a shard is cut short or damaged.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.samples = [sample for path in sorted(paths) for sample in _index(path)]
        if not self.samples:
            raise DatasetError("the data set has no samples here: make it with `midframe dataset create VIDEOS OUT`")

    def __len__(self) -> int:
        return len(self.samples)

    def count(self, index: int) -> int:
        """How many frames a sample has."""
        return len(self.samples[index].frames)

    def frames(self, index: int, chosen: Iterable[int] | None = None) -> Frames:
        """Decode the frames of a sample, or some of them, (F, H, W, 3) RGB uint8."""
        path = self.samples[index].path
        return np.stack([decode_jpeg(content, path) for content in self.encoded(index, chosen)])

    def encoded(self, index: int, chosen: Iterable[int] | None = None) -> list[bytes]:
        """The frames of a sample, or some of them, as the JPEG that they are stored as."""
        sample = self.samples[index]
        places = sample.frames if chosen is None else [sample.frames[number] for number in chosen]
        with sample.path.open("rb") as file:
            return [_read(file, *place) for place in places]

    def facts(self, index: int) -> dict[str, Any]:
        """What was recorded of a sample: its clip, place, stride and motion."""
        sample = self.samples[index]
        with sample.path.open("rb") as file:
            facts: dict[str, Any] = json.loads(_read(file, *sample.facts))
        return facts


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder, by name."""
    return visible(folder, folder.glob("*.tar"))


def encode_jpeg(frame: Frames) -> bytes:
    """Compress an RGB image at quality 95 without thinning its colours."""
    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), flags)
    assert done, "JPEG takes every 8-bit colour image"
    return bytes(content)


def decode_jpeg(content: bytes, source: Path) -> Frames:
    """Decompress an RGB image; `source` is named when it is damaged."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise DatasetError(f"{source} holds a damaged picture: delete the file and run `midframe dataset create` again")
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
        message = f"{path} is not a whole shard ({error}): delete it and run `midframe dataset create` again"
        raise DatasetError(message) from error
    return [_sample(path, kinds) for kinds in members.values() if "json" in kinds]


def _sample(path: Path, kinds: dict[str, tuple[int, int]]) -> Sample:
    frames = sorted((int(kind.partition(".")[0]), place) for kind, place in kinds.items() if kind.endswith(".jpg"))
    return Sample(path, tuple(place for _, place in frames), kinds["json"])


def _check_length(path: Path, members: dict[str, dict[str, tuple[int, int]]]) -> None:
    """tarfile takes a file that ends between two headers for whole; the last member tells."""
    ends = [offset + length for kinds in members.values() for offset, length in kinds.values()]
    if ends and path.stat().st_size < max(ends) + 2 * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("cut short")
