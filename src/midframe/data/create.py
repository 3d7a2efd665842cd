"""From videos, photographs and drawings to a data set: every core takes one at a time and writes its shards."""

import csv
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from midframe.data.harvest import CreateConfig, Job, facts_path, harvest
from midframe.data.sources import Source, read_sources, relative_name, source_of
from midframe.data.stills import find_stills
from midframe.errors import DatasetError
from midframe.folders import visible
from midframe.outputs import check_output_folder

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".y4m"}
SETTINGS_FILE = "dataset.json"
REPORT_FILE = "report.json"
ATTRIBUTION_FILE = "attribution.csv"
PARTS = ("train", "made", "validation", "whole")
"""Folders of shards: patches of clips, photographs and drawings with made motion, and what is held out."""

Progress = Callable[[int, int, str], None]
"""Called with files done, files in all and the name of the file just done."""


def create_dataset(
    videos: Path,
    out: Path,
    config: CreateConfig | None = None,
    *,
    stills: Path | None = None,
    drawings: int = 0,
    sources: Iterable[Path] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a data set from every video under a folder, or go on with one that was interrupted.

    Args:
        videos: a folder that is searched for videos, or one video.
        out: the folder of the data set. Files whose shard is there already are not read again.
        config: how; one that differs from what `out` was begun with is an error.
        stills: a folder of photographs, from which sequences with made motion are added.
        drawings: how many shards of drawings with made motion are added, each of as many sequences as a photograph's.
        sources: CSV lists of where the files come from; see `read_sources`.
        workers: processes, as many as cores if None.
        progress: told after each file.

    Returns:
        The report, which also lies in `out/report.json` beside `attribution.csv`.

    Raises:
        DatasetError: no videos, other settings than before, a full disk, or nothing worth keeping.
    """
    config = config or CreateConfig()
    check_output_folder(out, inputs=[videos, *([stills] if stills else [])], error=DatasetError)
    jobs = [*_jobs(videos, stills, out, config, sources), *_drawings(drawings, out, config)]
    _begin(out, config)
    todo = [job for job in jobs if not facts_path(job).exists()]
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        running = {pool.submit(harvest, job): job for job in todo}
        for done, finished in enumerate(as_completed(running), start=len(jobs) - len(todo) + 1):
            finished.result()
            if progress:
                progress(done, len(jobs), Path(running[finished].name).name)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return write_report(out)


def cannot_write(out: Path, error: OSError) -> DatasetError:
    """What is told when a data set does not fit on the disk."""
    again = "make room and run the same command again; finished shards are kept"
    return DatasetError(f"{out} cannot be written ({error.strerror}): {again}")


def make_folders(out: Path) -> None:
    """Make the folders of a data set, where they are not there."""
    for folder in (*PARTS, "files"):
        (out / folder).mkdir(parents=True, exist_ok=True)


def find_videos(videos: Path) -> list[Path]:
    """List the videos under a folder, by name."""
    if not videos.exists():
        raise DatasetError(f"{videos} does not exist: name a folder with videos")
    below = (path for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    found = [videos] if videos.is_file() else visible(videos, below)
    if not found:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise DatasetError(f"{videos} holds no videos: files ending in {known} are looked for")
    return found


def write_report(out: Path) -> dict[str, Any]:
    """Sum up a data set in `report.json`, and what its files ask to be told of them in `attribution.csv`."""
    files = [json.loads(path.read_text()) for path in visible(out, out.glob("files/*.json"))]
    totals = Counter({part: 0 for part in PARTS if part != "whole"})
    for file in files:
        totals[file["part"]] += file["samples"]
    motion = [length for file in files for length in file["motion"]]
    counts, edges = np.histogram(motion, bins=[0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48])
    report = {"samples": dict(totals), "files": [{k: v for k, v in file.items() if k != "motion"} for file in files],
              "motion_histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}  # fmt: skip
    (out / REPORT_FILE).write_text(json.dumps(report, indent=1))
    columns = ("file", "part", "samples", "licence", "attribution")
    with (out / ATTRIBUTION_FILE).open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(file for file in files if file["samples"])
    if not sum(totals.values()):
        raise DatasetError(f"nothing in these videos was worth keeping: {REPORT_FILE} in {out} says what was found")
    return report


def _jobs(videos: Path, stills: Path | None, out: Path, config: CreateConfig, lists: Iterable[Path]) -> list[Job]:
    """What is to be done: one job a file, with its part of the data set."""
    known = read_sources(lists)
    clips = [(path, videos, source_of(path, videos, known)) for path in find_videos(videos)]
    held_out = choose_held_out({relative_name(path, videos): source.name for path, _, source in clips}, config)
    jobs = []
    for path, root, source in clips:
        name = relative_name(path, root)
        part = "validation" if name in held_out else "train"
        jobs.append(Job(path, out, key_of(name), name, source, part, config))
    for path in find_stills(stills) if stills else []:
        assert stills
        name = relative_name(path, stills)
        jobs.append(Job(path, out, key_of(name), name, source_of(path, stills, known), "made", config))
    return jobs


def _drawings(count: int, out: Path, config: CreateConfig) -> list[Job]:
    names = [f"drawings {number}" for number in range(1, count + 1)]
    return [Job(None, out, key_of(name), name, Source("drawings", "MIT", "midframe"), "made", config) for name in names]


def choose_held_out(clips: dict[str, str], config: CreateConfig) -> set[str]:
    """Choose validation clips: all of some sources, so that nothing like them is trained on.

    Those that `config.hold_out` names, or else as many by a hash of their names as make up the wanted share: more clips
    do not reshuffle the old ones.

    Args:
        clips: the source of each clip by its name.

    Raises:
        DatasetError: a pattern of `hold_out` fits nothing.
    """
    if config.hold_out:
        for pattern in config.hold_out:
            if not any(fnmatch(text, pattern) for pair in clips.items() for text in pair):
                raise DatasetError(f"no clip and no source fits the pattern {pattern!r} that is to be held out")
        return {
            clip
            for clip, source in clips.items()
            if any(fnmatch(text, pattern) for pattern in config.hold_out for text in (clip, source))
        }
    names = sorted(set(clips.values()), key=lambda source: hashlib.sha256(f"{config.seed}/{source}".encode()).digest())
    wanted = math.ceil(config.validation_share * len(clips)) if len(names) > 1 else 0
    chosen: set[str] = set()
    for name in names[:-1]:  # something must be left to train on
        if len(chosen) >= wanted:
            break
        chosen |= {clip for clip, source in clips.items() if source == name}
    return chosen


def key_of(name: str) -> str:
    """A name for files and keys, which in a shard must hold no dot; names in different folders differ."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _begin(out: Path, config: CreateConfig) -> None:
    make_folders(out)
    settings = json.dumps(asdict(config), indent=1)
    path = out / SETTINGS_FILE
    if path.exists() and json.loads(path.read_text()) != json.loads(settings):
        raise DatasetError(f"{out} was begun with other settings ({path}): use those or another folder")
    path.write_text(settings)
