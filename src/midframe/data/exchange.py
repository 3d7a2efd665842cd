"""Import datasets from TFRecord files and Vimeo-90K folders; export them as TFRecord files."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from midframe.data.aliases import split_folder
from midframe.data.create import (
    DatasetProgress,
    choose_held_out,
    create_folders,
    make_key,
    write_error,
    write_report,
)
from midframe.data.create_config import CreateConfig
from midframe.data.extract import SPLITS, write_metadata
from midframe.data.layouts import find_sequences
from midframe.data.shards import Shards, ShardWriter, decode_jpeg, encode_jpeg, shard_files
from midframe.data.tfrecord import IMAGES, read_examples, write_examples
from midframe.errors import DatasetError, VideoError
from midframe.folders import visible_files
from midframe.media.pictures.images import read_image
from midframe.outputs import atomic_write, check_output_folder

log = logging.getLogger(__name__)

TFRECORD_SUFFIXES = {".tfrecord", ".tfrecords"}
FOLDERS = {
    "train": "train", "training": "train", "synthetic": "synthetic", "made": "synthetic",
    "validation": "validation", "valid": "validation", "val": "validation", "test": "validation",
}  # fmt: skip
"""Split of the files in a folder of this name; `made` is the old name of `synthetic`."""
SPLIT_FILE = "split.json"
"""Lists the split of each exported file by its name, for files moved to other folders."""


@dataclass(frozen=True)
class Group:
    """The samples of one shard: a TFRecord file, or a folder of Vimeo-90K."""

    name: str
    samples: Callable[[], Iterator[list[bytes]]] = field(compare=False)
    """Yields the frames of each sample as JPEG data."""
    split: str | None = None
    """The split in the dataset that it was exported from, if known."""


def import_dataset(
    source: Path,
    out: Path,
    *,
    config: CreateConfig | None = None,
    progress: DatasetProgress | None = None,
) -> dict[str, Any]:
    """Create a dataset from TFRecord files or Vimeo-90K, or resume an interrupted import.

    Args:
        source: TFRecord file, folder of them (.tfrecord, .tfrecords), or folder of Vimeo-90K
            triplets or septuplets, of which listed test sequences are omitted.
        out: folder of the dataset.
        config: how much to hold out for validation: whole files, or whole folders of Vimeo-90K.
            TFRecord files in folders `train`, `synthetic` and `validation`, or listed in
            `split.json`, keep their split.
        progress: called after each file or folder.

    Returns:
        The report, as `create_dataset` does.

    Raises:
        DatasetError: there is nothing to import, or a file is damaged. Finished shards are kept.
    """
    check_output_folder(out, inputs=[source], error=DatasetError)
    groups = _find_groups(source)
    splits = _assign_splits(groups, source, config or CreateConfig())
    create_folders(out)
    for done, group in enumerate(groups, start=1):
        _import_group(group, out, splits[group.name])
        if progress:
            progress(done, len(groups), group.name)
    return write_report(out)


def export_dataset(dataset: Path, out: Path, *, progress: DatasetProgress | None = None) -> int:
    """Write each shard of a dataset as a TFRecord file, `out/SPLIT/SHARD.tfrecord`.

    Of samples with more than three frames, the first, the middle and the last frame are written.
    `out/split.json` lists the split of each file, so that held-out samples stay held out when the
    files are imported again.

    Returns:
        The number of samples.

    Raises:
        DatasetError: there is no dataset, a shard is damaged, the disk is full, or `out` is the
            dataset itself or contains TFRecord files of another one.
    """
    found = [
        (split, path) for split in SPLITS for path in shard_files(split_folder(dataset, split))
    ]
    if not found:
        raise DatasetError(
            f"{dataset} is not a dataset: run `midframe dataset create VIDEOS {dataset}` first"
        )
    check_output_folder(out, inputs=[dataset], error=DatasetError)
    shards = [path for _, path in found]
    targets = [out / split / f"{path.stem}.tfrecord" for split, path in found]
    if others := set(_record_files(out)) - set(targets):
        raise DatasetError(
            f"{out} contains other TFRecord files ({min(others)}): name a new folder"
        )
    count = 0
    try:
        for done, (path, target) in enumerate(zip(shards, targets, strict=True), start=1):
            target.parent.mkdir(parents=True, exist_ok=True)
            count += write_examples(target, _examples(Shards([path])))
            if progress:
                progress(done, len(shards), path.name)
        split = {target.relative_to(out).as_posix(): target.parent.name for target in targets}
        with atomic_write(out / SPLIT_FILE) as unfinished:
            unfinished.write_text(json.dumps(split, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise write_error(out, error) from error
    return count


def _record_files(folder: Path) -> list[Path]:
    return visible_files(
        folder, (path for path in folder.rglob("*") if path.suffix in TFRECORD_SUFFIXES)
    )


def _find_groups(source: Path) -> list[Group]:
    if not source.exists():
        raise DatasetError(
            f"{source} does not exist: name a TFRecord file, or a folder of them or of Vimeo-90K"
        )
    if files := [source] if source.is_file() else _record_files(source):
        root = source if source.is_dir() else source.parent
        split = _read_split(root)
        return [
            Group(
                path.relative_to(root).as_posix(),
                partial(_read_records, path),
                _find_split(path, root, split),
            )
            for path in files
        ]
    folders: dict[str, list[list[Path]]] = defaultdict(list)
    for name, paths in find_sequences(source).items():
        folders[name.rpartition("/")[0] or name].append(paths)
    return [Group(name, partial(_read_images, sequences)) for name, sequences in folders.items()]


def _read_split(root: Path) -> dict[str, str]:
    """Read the split of each file by its name from `split.json`; empty if there is none."""
    candidates = (root / SPLIT_FILE, root.parent / SPLIT_FILE)
    path = next((each for each in candidates if each.is_file()), None)
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = {name: FOLDERS[split] for name, split in content.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        message = f"{path} is not a list of files and their splits: export again, or delete it"
        raise DatasetError(message) from error
    names = Counter(Path(name).name for name in listed)
    return {Path(name).name: split for name, split in listed.items() if names[Path(name).name] == 1}


def _find_split(path: Path, root: Path, split: dict[str, str]) -> str | None:
    """Return the split of a file, by its nearest folder with a known name or by the list."""
    folders = [root.absolute().name, *path.relative_to(root).parts[:-1]]
    named = [FOLDERS[folder] for folder in folders if folder in FOLDERS]
    return named[-1] if named else split.get(path.name)


def _assign_splits(groups: list[Group], source: Path, config: CreateConfig) -> dict[str, str]:
    """Return the split of each group: its own, or chosen by `config` if it has none."""
    splits = {group.name: group.split or "train" for group in groups}
    unknown = [group.name for group in groups if group.split is None]
    if config.hold_out or "validation" not in splits.values():
        usable = {name: name for name, split in splits.items() if split != "synthetic"}
        held_out = choose_held_out(usable, config)
        splits |= dict.fromkeys(held_out, "validation")
        records = any(Path(name).suffix in TFRECORD_SUFFIXES for name in splits)
        if unknown and not config.hold_out and records:
            log.warning(
                "%s does not define a validation split: holding out %d of %d files by name; "
                "use --hold-out to choose others",
                source,
                len(held_out),
                len(groups),
            )
    elif unknown:
        log.warning(
            "%s does not define the split of %s: using it for training", source, ", ".join(unknown)
        )
    return splits


def _import_group(group: Group, out: Path, split: str) -> None:
    """Write the shard of a group, then its metadata, which mark the group as done."""
    key = make_key(group.name)
    metadata = out / "files" / f"{key}.json"
    if metadata.exists():
        return
    count = 0
    try:
        with ShardWriter(split_folder(out, split) / f"{key}.tar") as shard:
            for count, frames in enumerate(group.samples(), start=1):
                shard.write_encoded(f"{key}-{count - 1:05}", frames, {"file": group.name})
    except OSError as error:
        raise write_error(out, error) from error
    content = {
        "file": group.name,
        "split": split,
        "licence": "",
        "attribution": "",
        "sequences": count,
        "samples": count,
        "motion": [],
        "error": None,
    }
    write_metadata(metadata, content)


def _read_records(path: Path) -> Iterator[list[bytes]]:
    for number, features in enumerate(read_examples(path)):
        missing = [name for name in IMAGES if not features.get(name)]
        if missing:
            raise DatasetError(
                f"record {number} of {path} lacks {', '.join(missing)}: add these JPEG features"
            )
        frames = [features[name][0] for name in IMAGES]
        if len({decode_jpeg(frame, path).shape for frame in frames}) > 1:
            raise DatasetError(
                f"record {number} of {path} has frames of different sizes: remove the record"
            )
        yield frames


def _read_images(sequences: Iterable[list[Path]]) -> Iterator[list[bytes]]:
    for paths in sequences:
        frames = []
        for path in paths:
            try:
                frames.append(encode_jpeg(read_image(path)))
            except VideoError as error:
                raise DatasetError(f"{path} is a damaged image: download it again") from error
        yield frames


def _examples(shards: Shards) -> Iterator[dict[str, Any]]:
    for index in range(len(shards)):
        frames = shards.read_jpeg(index)
        chosen = (frames[0], frames[len(frames) // 2], frames[-1])
        height, width = decode_jpeg(chosen[1], shards.samples[index].path).shape[:2]
        yield {
            **{name: [frame] for name, frame in zip(IMAGES, chosen, strict=True)},
            "height": [height],
            "width": [width],
        }
