"""Data sets of others: TFRecord files and Vimeo-90K folders in, TFRecord files out."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.create import PARTS, cannot_write, choose_held_out, key_of, make_folders, write_report
from midframe.data.harvest import CreateConfig, write_facts
from midframe.data.layouts import find_sequences
from midframe.data.shards import Shards, ShardWriter, decode_jpeg, encode_jpeg
from midframe.data.tfrecord import IMAGES, read_examples, write_examples
from midframe.errors import DatasetError

TFRECORD_SUFFIXES = {".tfrecord", ".tfrecords"}

Progress = Callable[[int, int, str], None]
"""Called with groups done, groups in all and the name of the group just done."""


@dataclass(frozen=True)
class Group:
    """Samples that become one shard: a TFRecord file, or a folder of Vimeo-90K."""

    name: str
    samples: Callable[[], Iterator[list[bytes]]] = field(compare=False)
    """Gives the frames of each sample as JPEG."""


def import_dataset(
    source: Path, out: Path, *, config: CreateConfig | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Make a data set from TFRecord files or from Vimeo-90K, or go on with one that was interrupted.

    Args:
        source: a TFRecord file, a folder of them (.tfrecord, .tfrecords), or a folder of Vimeo-90K triplets or
            septuplets, of which those listed as tests are left out.
        out: the folder of the data set.
        config: how much is held out for validation: whole files, or whole folders of Vimeo-90K.
        progress: told after each file or folder.

    Returns:
        The report, as `create_dataset` does.

    Raises:
        DatasetError: there is nothing to import, or a file is damaged. Finished shards are kept.
    """
    groups = _groups(source)
    held_out = choose_held_out({group.name: group.name for group in groups}, config or CreateConfig())
    make_folders(out)
    for done, group in enumerate(groups, start=1):
        _import(group, out, "validation" if group.name in held_out else "train")
        if progress:
            progress(done, len(groups), group.name)
    return write_report(out)


def export_dataset(dataset: Path, out: Path, *, progress: Progress | None = None) -> int:
    """Write every shard of a data set as a TFRecord file, `out/PART/SHARD.tfrecord`; return how many samples.

    Of longer samples the first frame, the one in the middle and the last are written.

    Raises:
        DatasetError: there is no data set, a shard is damaged, or the disk is full.
    """
    shards = [path for part in PARTS if part != "whole" for path in sorted((dataset / part).glob("*.tar"))]
    if not shards:
        raise DatasetError(f"{dataset} is not a data set: make it with `midframe dataset create VIDEOS {dataset}`")
    count = 0
    for done, path in enumerate(shards, start=1):
        target = out / path.parent.name / f"{path.stem}.tfrecord"
        target.parent.mkdir(parents=True, exist_ok=True)
        count += write_examples(target, _examples(Shards([path])))
        if progress:
            progress(done, len(shards), path.name)
    return count


def _groups(source: Path) -> list[Group]:
    if not source.exists():
        raise DatasetError(f"{source} does not exist: name a TFRecord file, or a folder of them or of Vimeo-90K")
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.suffix in TFRECORD_SUFFIXES)
    if files:
        root = source if source.is_dir() else source.parent
        return [Group(path.relative_to(root).as_posix(), lambda path=path: _from_records(path)) for path in files]  # type: ignore[misc]
    folders: dict[str, list[list[Path]]] = defaultdict(list)
    for name, paths in find_sequences(source).items():
        folders[name.rpartition("/")[0] or name].append(paths)
    return [
        Group(name, lambda sequences=sequences: _from_pictures(sequences))  # type: ignore[misc]
        for name, sequences in folders.items()
    ]


def _import(group: Group, out: Path, part: str) -> None:
    """Write the shard of a group, then its facts, which mark it as done."""
    key = key_of(group.name)
    facts = out / "files" / f"{key}.json"
    if facts.exists():
        return
    count = 0
    try:
        with ShardWriter(out / part / f"{key}.tar") as shard:
            for count, frames in enumerate(group.samples(), start=1):
                shard.write_encoded(f"{key}-{count - 1:05}", frames, {"file": group.name})
    except OSError as error:
        raise cannot_write(out, error) from error
    said = {"licence": "", "attribution": "", "sequences": count, "samples": count, "motion": [], "error": None}
    write_facts(facts, {"file": group.name, "part": part, **said})


def _from_records(path: Path) -> Iterator[list[bytes]]:
    for number, features in enumerate(read_examples(path)):
        missing = [name for name in IMAGES if not features.get(name)]
        if missing:
            raise DatasetError(f"record {number} of {path} lacks {', '.join(missing)}: JPEG images are needed there")
        frames = [features[name][0] for name in IMAGES]
        if len({decode_jpeg(frame, path).shape for frame in frames}) > 1:
            raise DatasetError(f"the frames of record {number} of {path} differ in size")
        yield frames


def _from_pictures(sequences: Iterable[list[Path]]) -> Iterator[list[bytes]]:
    for paths in sequences:
        frames = []
        for path in paths:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise DatasetError(f"{path} is a damaged picture: fetch it again")
            frames.append(encode_jpeg(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)))
        yield frames


def _examples(shards: Shards) -> Iterator[dict[str, Any]]:
    for index in range(len(shards)):
        frames = shards.encoded(index)
        chosen = (frames[0], frames[len(frames) // 2], frames[-1])
        height, width = decode_jpeg(chosen[1], shards.samples[index].path).shape[:2]
        yield {
            **{name: [frame] for name, frame in zip(IMAGES, chosen, strict=True)},
            "height": [height],
            "width": [width],
        }
