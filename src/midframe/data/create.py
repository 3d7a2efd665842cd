"""Create a dataset from videos, photographs and drawings, one file per process at a time."""

import csv
import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from fnmatch import fnmatch
from multiprocessing import get_context, parent_process
from pathlib import Path, PurePath
from threading import Thread
from typing import Any

import numpy as np

from midframe.data.aliases import rename_config, rename_metadata, split_folder
from midframe.data.create_config import CreateConfig
from midframe.data.extract import (
    ALL_SPLITS,
    SPLITS,
    ExtractionJob,
    extract_samples,
    is_done,
    metadata_path,
)
from midframe.data.photographs import find_photographs
from midframe.data.sources import Source, Sources, find_source, read_sources, relative_name
from midframe.errors import DatasetError
from midframe.folders import visible_files, walk
from midframe.media.suffixes import VIDEOS
from midframe.outputs import check_output_folder

log = logging.getLogger(__name__)

SETTINGS_FILE = "dataset.json"
REPORT_FILE = "report.json"
ATTRIBUTION_FILE = "attribution.csv"
MAX_KEY_BYTES = 200
"""Bytes of a file's name in its key; file systems allow 255, with the hash and suffixes."""
MAX_SHOWN = 5
"""Names in a message."""
MOTION_EDGES = (0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48)
"""Bins of the motion histogram, in pixels."""
DatasetProgress = Callable[[int, int, str], None]
"""Callback with the number of finished files, the number of files, and the name of the last one."""


def create_dataset(
    videos: Path,
    out: Path,
    config: CreateConfig | None = None,
    *,
    photographs: Path | None = None,
    drawings: int = 0,
    sources: Iterable[Path] = (),
    workers: int | None = None,
    executor: Executor | None = None,
    progress: DatasetProgress | None = None,
) -> dict[str, Any]:
    """Create a dataset from all videos under a folder, or resume an interrupted one.

    Args:
        videos: folder that is searched for videos, or one video.
        out: folder of the dataset. Files whose samples are there already are skipped; those that
            could not be read, changed, or belong to another split by now are read again.
        config: settings; when resuming they must equal those stored in `out`.
        photographs: folder of photographs, from which sequences with synthetic motion are rendered.
        drawings: number of shards of drawings with synthetic motion, each with
            `config.per_photograph` sequences.
        sources: CSV lists of the origin of the files; see `read_sources`.
        workers: number of processes; None for the number of cores.
        executor: runs the work on the files instead of processes of this machine; it is shut down.
        progress: called after each file.

    Returns:
        The report, which is also written to `out/report.json`, beside `attribution.csv`. Files
        with `failed` could not be read, or not to their end.

    Raises:
        DatasetError: no videos were found, the settings differ from those of the interrupted run,
            the disk is full, a process was killed, or no samples were extracted.
    """
    config = config or CreateConfig()
    inputs = [videos, *([photographs] if photographs else [])]
    check_output_folder(out, inputs=inputs, error=DatasetError)
    jobs = [*_list_file_jobs(videos, photographs, out, config, sources)]
    jobs += _list_drawing_jobs(drawings, out, config)
    _prepare_folder(out, config)
    unfinished = [job for job in jobs if not is_done(job)]
    pool = executor or ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=end_with_parent
    )
    try:
        running = {pool.submit(extract_samples, job): job for job in unfinished}
        first_number = len(jobs) - len(unfinished) + 1
        for done, finished in enumerate(as_completed(running), start=first_number):
            finished.result()
            if progress:
                progress(done, len(jobs), Path(running[finished].name).name)
    except OSError as error:
        raise write_error(out, error) from error
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that reads files was killed, as for lack of memory: run the same command "
            "again, with fewer --workers; finished files are kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    _report_other_files(out, jobs)
    return write_report(out)


def end_with_parent() -> None:
    """Start a thread that ends this process when its parent was killed: processes of a pool wait
    for more work without end."""
    parent = parent_process()
    assert parent, "a pool started this process"

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def write_error(out: Path, error: OSError) -> DatasetError:
    """Return the error to raise when a dataset cannot be written."""
    remedy = "free disk space and run the same command again; finished shards are kept"
    return DatasetError(f"{out} cannot be written ({error.strerror}): {remedy}")


def create_folders(out: Path) -> None:
    """Create the folders of a dataset that do not exist."""
    for split in ALL_SPLITS:
        split_folder(out, split).mkdir(parents=True, exist_ok=True)
    (out / "files").mkdir(exist_ok=True)


def find_videos(videos: Path) -> list[Path]:
    """List the videos under a folder, sorted by name."""
    if not videos.exists():
        raise DatasetError(f"{videos} does not exist: name a folder with videos")
    paths = (path for path in walk(videos) if path.suffix.lower() in VIDEOS)
    found = [videos] if videos.is_file() else visible_files(videos, paths)
    if not found:
        known = " ".join(sorted(VIDEOS))
        raise DatasetError(f"{videos} contains no videos: expected files ending in {known}")
    return found


def write_report(out: Path) -> dict[str, Any]:
    """Summarise a dataset in `report.json`, and its licences in `attribution.csv`."""
    paths = visible_files(out, out.glob("files/*.json"))
    files = [rename_metadata(json.loads(path.read_text())) for path in paths]
    totals = Counter(dict.fromkeys(SPLITS, 0))
    for file in files:
        totals[file["split"]] += file["samples"]
    motion = [length for file in files for length in file["motion"]]
    counts, edges = np.histogram(motion, bins=MOTION_EDGES)
    report = {
        "samples": dict(totals),
        "files": [{k: v for k, v in file.items() if k != "motion"} for file in files],
        "motion_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
    (out / REPORT_FILE).write_text(json.dumps(report, indent=1))
    columns = ("file", "split", "samples", "licence", "attribution")
    with (out / ATTRIBUTION_FILE).open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(file for file in files if file["samples"])
    if not sum(totals.values()):
        raise DatasetError(f"no samples were extracted: see {out / REPORT_FILE} for each file")
    if not totals["validation"]:
        log.warning(
            "%s has no samples for validation, so a training cannot choose its best weights: add "
            "clips, or hold some out with --hold-out",
            out,
        )
    return report


def _list_file_jobs(
    videos: Path, photographs: Path | None, out: Path, config: CreateConfig, lists: Iterable[Path]
) -> list[ExtractionJob]:
    """Return one job per file, with the split that it belongs to."""
    known = read_sources(lists)
    clips = [(path, find_source(path, videos, known)) for path in find_videos(videos)]
    _report_unknown_files(known, [videos, *([photographs] if photographs else [])], lists)
    origins = {relative_name(path, videos): source.name for path, source in clips}
    held_out = choose_held_out(origins, config)
    jobs = []
    for path, source in clips:
        name = relative_name(path, videos)
        split = "validation" if name in held_out else "train"
        jobs.append(ExtractionJob(path, out, make_key(name), name, source, split, config))
    for path in find_photographs(photographs) if photographs else []:
        assert photographs
        name = relative_name(path, photographs)
        source = find_source(path, photographs, known)
        jobs.append(ExtractionJob(path, out, make_key(name), name, source, "synthetic", config))
    return jobs


def _report_unknown_files(known: Sources, folders: Iterable[Path], lists: Iterable[Path]) -> None:
    """Log the files in the lists of sources that do not exist: their licences would be lost."""
    found = {
        path.name for folder in folders for path in ([folder] if folder.is_file() else walk(folder))
    }
    if unknown := [name for name in known if PurePath(name or "").name not in found]:
        shown = ", ".join(map(str, unknown[:MAX_SHOWN]))
        names = ", ".join(map(str, lists))
        log.warning("%s: there is no such file for %d rows: %s", names, len(unknown), shown)


def _report_other_files(out: Path, jobs: Iterable[ExtractionJob]) -> None:
    """Log the files of a dataset that this run did not find: their samples remain in it."""
    own = {metadata_path(job) for job in jobs}
    paths = visible_files(out, out.glob("files/*.json"))
    if others := [path.stem for path in paths if path not in own]:
        shown = ", ".join(others[:MAX_SHOWN])
        log.warning(
            "%s also has samples of %d files that were not found: %s; to drop them, delete "
            "files/NAME.json and the shards NAME.tar there",
            out,
            len(others),
            shown,
        )


def _list_drawing_jobs(count: int, out: Path, config: CreateConfig) -> list[ExtractionJob]:
    names = [f"drawings {number}" for number in range(1, count + 1)]
    source = Source("drawings", "MIT", "midframe")
    return [
        ExtractionJob(None, out, make_key(name), name, source, "synthetic", config)
        for name in names
    ]


def choose_held_out(clips: dict[str, str], config: CreateConfig) -> set[str]:
    """Choose the validation clips: all clips of some sources.

    If `config.hold_out` is given, the clips that match it are chosen, or whose source does.
    Otherwise sources are chosen in the order of a hash of their names until
    `config.validation_fraction` of the clips is reached, so adding clips changes few choices.

    Args:
        clips: source of each clip, by name.
        config: settings of the dataset.

    Raises:
        DatasetError: a pattern of `hold_out` matches nothing.
    """
    if config.hold_out:
        for pattern in config.hold_out:
            if not any(fnmatch(text, pattern) for pair in clips.items() for text in pair):
                raise DatasetError(
                    f"--hold-out {pattern!r} matches no clip and no source: check the spelling"
                )
        return {
            clip
            for clip, source in clips.items()
            if _matches_any(clip, config.hold_out) or _matches_any(source, config.hold_out)
        }
    names = sorted(set(clips.values()), key=lambda source: _hash(f"{config.seed}/{source}"))
    wanted = math.ceil(config.validation_fraction * len(clips)) if len(names) > 1 else 0
    chosen: set[str] = set()
    for name in names[:-1]:  # at least one source remains for training
        if len(chosen) >= wanted:
            break
        chosen |= {clip for clip, source in clips.items() if source == name}
    return chosen


def _matches_any(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(text, pattern) for pattern in patterns)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def make_key(name: str) -> str:
    """Return a unique key for a file name; keys in a shard must not contain dots."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(name).stem)
    safe = safe.encode()[:MAX_KEY_BYTES].decode(errors="ignore")
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _prepare_folder(out: Path, config: CreateConfig) -> None:
    create_folders(out)
    settings = json.dumps(asdict(config), indent=1)
    path = out / SETTINGS_FILE
    if path.exists() and rename_config(json.loads(path.read_text())) != json.loads(settings):
        raise DatasetError(
            f"{out} was created with other settings ({path}): use the same ones, or a new folder"
        )
    path.write_text(settings)
