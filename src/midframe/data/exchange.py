"""Data sets of others: TFRecord files and Vimeo-90K folders in, TFRecord files out."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.create import PARTS, cannot_write, choose_held_out, key_of, make_folders, write_report
from midframe.data.harvest import CreateConfig, write_facts
from midframe.data.layouts import find_sequences
from midframe.data.shards import Shards, ShardWriter, decode_jpeg, encode_jpeg, shard_files
from midframe.data.tfrecord import IMAGES, read_examples, write_examples
from midframe.errors import DatasetError
from midframe.folders import visible
from midframe.outputs import check_output_folder, whole_file

log = logging.getLogger(__name__)

TFRECORD_SUFFIXES = {".tfrecord", ".tfrecords"}
FOLDERS = {"train": "train", "training": "train", "made": "made", "validation": "validation", "valid": "validation",
           "val": "validation", "test": "validation"}  # fmt: skip
"""Which part of a data set the files in a folder of such a name belong to."""
SPLIT_FILE = "split.json"
"""Lies beside exported files and says the same of each by its name, for those who move them out of their folders."""

Progress = Callable[[int, int, str], None]
"""Called with groups done, groups in all and the name of the group just done."""


@dataclass(frozen=True)
class Group:
    """Samples that become one shard: a TFRecord file, or a folder of Vimeo-90K."""

    name: str
    samples: Callable[[], Iterator[list[bytes]]] = field(compare=False)
    """Gives the frames of each sample as JPEG."""
    part: str | None = None
    """Of the data set that it was exported from, if that is known."""


def import_dataset(
    source: Path, out: Path, *, config: CreateConfig | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Make a data set from TFRecord files or from Vimeo-90K, or go on with one that was interrupted.

    Args:
        source: a TFRecord file, a folder of them (.tfrecord, .tfrecords), or a folder of Vimeo-90K triplets or
            septuplets, of which those listed as tests are left out.
        out: the folder of the data set.
        config: how much is held out for validation: whole files, or whole folders of Vimeo-90K. TFRecord files that
            lie in folders `train`, `made` and `validation`, or that `split.json` lists, stay what they are.
        progress: told after each file or folder.

    Returns:
        The report, as `create_dataset` does.

    Raises:
        DatasetError: there is nothing to import, or a file is damaged. Finished shards are kept.
    """
    check_output_folder(out, inputs=[source], error=DatasetError)
    groups = _groups(source)
    parts = _parts(groups, source, config or CreateConfig())
    make_folders(out)
    for done, group in enumerate(groups, start=1):
        _import(group, out, parts[group.name])
        if progress:
            progress(done, len(groups), group.name)
    return write_report(out)


def export_dataset(dataset: Path, out: Path, *, progress: Progress | None = None) -> int:
    """Write every shard of a data set as a TFRecord file, `out/PART/SHARD.tfrecord`; return how many samples.

    Of longer samples the first frame, the one in the middle and the last are written. `out/split.json` holds the part
    of each file, so that what is held out stays held out when the files are imported again.

    Raises:
        DatasetError: there is no data set, a shard is damaged, the disk is full, or `out` is the data set itself or
            holds TFRecord files of another one.
    """
    shards = [path for part in PARTS if part != "whole" for path in shard_files(dataset / part)]
    if not shards:
        raise DatasetError(f"{dataset} is not a data set: make it with `midframe dataset create VIDEOS {dataset}`")
    check_output_folder(out, inputs=[dataset], error=DatasetError)
    targets = [out / path.parent.name / f"{path.stem}.tfrecord" for path in shards]
    if others := set(_record_files(out)) - set(targets):
        raise DatasetError(f"{out} holds other TFRecord files ({min(others)}): name a new folder")
    count = 0
    try:
        for done, (path, target) in enumerate(zip(shards, targets, strict=True), start=1):
            target.parent.mkdir(parents=True, exist_ok=True)
            count += write_examples(target, _examples(Shards([path])))
            if progress:
                progress(done, len(shards), path.name)
        split = {target.relative_to(out).as_posix(): target.parent.name for target in targets}
        with whole_file(out / SPLIT_FILE) as unfinished:
            unfinished.write_text(json.dumps(split, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(out, error) from error
    return count


def _record_files(folder: Path) -> list[Path]:
    return visible(folder, (path for path in folder.rglob("*") if path.suffix in TFRECORD_SUFFIXES))


def _groups(source: Path) -> list[Group]:
    if not source.exists():
        raise DatasetError(f"{source} does not exist: name a TFRecord file, or a folder of them or of Vimeo-90K")
    if files := [source] if source.is_file() else _record_files(source):
        root = source if source.is_dir() else source.parent
        split = _read_split(root)
        return [
            Group(path.relative_to(root).as_posix(), partial(_from_records, path), _part_of(path, root, split))
            for path in files
        ]
    folders: dict[str, list[list[Path]]] = defaultdict(list)
    for name, paths in find_sequences(source).items():
        folders[name.rpartition("/")[0] or name].append(paths)
    return [Group(name, partial(_from_pictures, sequences)) for name, sequences in folders.items()]


def _read_split(root: Path) -> dict[str, str]:
    """The part of each file by its name, from the list that an export left; empty if there is none."""
    path = next((each for each in (root / SPLIT_FILE, root.parent / SPLIT_FILE) if each.is_file()), None)
    if path is None:
        return {}
    try:
        listed = {name: FOLDERS[part] for name, part in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no list of files and their parts: export again, or delete it") from error
    names = Counter(Path(name).name for name in listed)
    return {Path(name).name: part for name, part in listed.items() if names[Path(name).name] == 1}


def _part_of(path: Path, root: Path, split: dict[str, str]) -> str | None:
    """The part of a file, by the nearest folder that tells it or by the list; None if neither does."""
    folders = [root.absolute().name, *path.relative_to(root).parts[:-1]]
    named = [FOLDERS[folder] for folder in folders if folder in FOLDERS]
    return named[-1] if named else split.get(path.name)


def _parts(groups: list[Group], source: Path, config: CreateConfig) -> dict[str, str]:
    """The part of each group by its name: its own; where nothing is held out, or more is to be, as `config` says."""
    parts = {group.name: group.part or "train" for group in groups}
    unknown = [group.name for group in groups if group.part is None]
    if config.hold_out or "validation" not in parts.values():
        usable = {name: name for name, part in parts.items() if part != "made"}
        held_out = choose_held_out(usable, config)
        parts |= dict.fromkeys(held_out, "validation")
        if unknown and not config.hold_out and any(path.suffix in TFRECORD_SUFFIXES for path in map(Path, parts)):
            log.warning(
                "%s does not tell what was held out for validation: %d of %d files are, chosen by their names; "
                "--hold-out chooses others",
                source, len(held_out), len(groups),
            )  # fmt: skip
    elif unknown:
        log.warning("%s does not tell the part of %s: it is trained on", source, ", ".join(unknown))
    return parts


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
