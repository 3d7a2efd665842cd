"""From videos and photographs to a data set: every core takes one, keeps its best patches, writes one shard."""

import hashlib
import heapq
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from midframe.data.shards import ShardWriter
from midframe.data.stills import StillMotion, find_stills, moving_patch, read_still
from midframe.data.triplets import Image, Selection, find_candidates, gradient_length, optical_flow
from midframe.errors import DatasetError

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".y4m"}
SETTINGS_FILE = "dataset.json"
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class CreateConfig:
    """How a data set is made; kept in it as `dataset.json`, so that it can be made again."""

    selection: Selection = field(default_factory=Selection)
    frames: int = 3
    """Frames in a sample, 3 or more and odd."""
    strides: tuple[int, ...] = (1, 2)
    """Distances between the frames of a sample, in frames of the clip: larger ones give faster motion."""
    per_clip: int = 400
    """The most samples that one clip gives, so that none dominates."""
    hop: int = 2
    """Frames between the starts of two sequences looked at."""
    per_sequence: int = 6
    """The most patches kept from one sequence."""
    max_short_side: int = 720
    """Larger clips are reduced to this short side, in pixels (AdaConv, section 4)."""
    validation_share: float = 0.12
    """Share of the clips held out for validation."""
    whole_frames: int = 3
    """Whole sequences kept of each validation clip, to measure on frames as people see them."""
    per_still: int = 80
    """Sequences made from each photograph, where photographs are given."""
    still_motion: StillMotion = field(default_factory=StillMotion)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 3 or self.frames % 2 == 0:
            raise ValueError(f"a sample of {self.frames} frames has no middle: an odd number from 3 up is needed")
        if min(self.strides) < 1:
            raise ValueError(f"strides are {self.strides}: whole numbers from 1 up are needed")


@dataclass(order=True)
class _Kept:
    """A patch in the reservoir; the smallest key leaves first."""

    key: float
    frames: np.ndarray[Any, np.dtype[np.uint8]] = field(compare=False)
    facts: dict[str, Any] = field(compare=False)


Progress = Callable[[int, int, str], None]
"""Called with clips done, clips in all and the name of the clip just done."""


def create_dataset(
    videos: Path,
    out: Path,
    config: CreateConfig | None = None,
    *,
    stills: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a data set from every video under a folder, or go on with one that was interrupted.

    Args:
        videos: a folder that is searched for videos, or one video.
        out: the folder of the data set. Clips whose shard is there already are not decoded again.
        config: how; one that differs from what `out` was begun with is an error.
        stills: a folder of photographs, from which sequences with made motion are added to the training part.
        workers: processes, as many as cores if None.
        progress: told after each clip.

    Returns:
        The report, which also lies in `out/report.json` beside `motion.png`.

    Raises:
        DatasetError: no videos, other settings than before, or nothing worth keeping.
    """
    config = config or CreateConfig()
    clips = find_videos(videos)
    photographs = find_stills(stills) if stills else []
    _begin(out, config)
    held_out = _held_out(clips, config)
    sources = clips + photographs
    todo = [source for source in sources if not _facts_path(out, source).exists()]
    done = len(sources) - len(todo)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(_create, source, out, source in clips, source in held_out, config): source for source in todo
        }
        for job in as_completed(jobs):
            job.result()
            done += 1
            if progress:
                progress(done, len(sources), jobs[job].name)
    return write_report(out)


def find_videos(videos: Path) -> list[Path]:
    """List the videos under a folder, by name."""
    if not videos.exists():
        raise DatasetError(f"{videos} does not exist: name a folder with videos")
    found = [videos] if videos.is_file() else sorted(p for p in videos.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise DatasetError(f"{videos} holds no videos: files ending in {known} are looked for")
    return found


def write_report(out: Path) -> dict[str, Any]:
    """Sum up the clips of a data set in `report.json`."""
    clips = [json.loads(path.read_text()) for path in sorted(out.glob("clips/*.json"))]
    totals = {split: sum(c["samples"] for c in clips if c["split"] == split) for split in ("train", "validation")}
    motion = [length for clip in clips for length in clip["motion"]]
    counts, edges = np.histogram(motion, bins=[0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48])
    report = {"samples": totals, "clips": [{k: v for k, v in clip.items() if k != "motion"} for clip in clips],
              "motion_histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}  # fmt: skip
    (out / REPORT_FILE).write_text(json.dumps(report, indent=1))
    if not sum(totals.values()):
        raise DatasetError(f"nothing in these videos was worth keeping: {REPORT_FILE} in {out} says what was found")
    return report


def _begin(out: Path, config: CreateConfig) -> None:
    for folder in ("train", "validation", "whole", "clips"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    settings = json.dumps(asdict(config), indent=1)
    path = out / SETTINGS_FILE
    if path.exists() and json.loads(path.read_text()) != json.loads(settings):
        raise DatasetError(f"{out} was begun with other settings ({path}): use those or another folder")
    path.write_text(settings)


def _held_out(clips: list[Path], config: CreateConfig) -> set[Path]:
    """Choose validation clips by a hash of their names, so that more clips do not reshuffle the old ones."""
    ranked = sorted(clips, key=lambda clip: _seed_of(clip, config))
    count = math.ceil(config.validation_share * len(clips)) if len(clips) > 1 and config.validation_share > 0 else 0
    return set(ranked[:count])


def _seed_of(clip: Path, config: CreateConfig) -> int:
    return int.from_bytes(hashlib.sha256(f"{config.seed}/{clip.name}".encode()).digest()[:8], "big")


def _facts_path(out: Path, clip: Path) -> Path:
    return out / "clips" / f"{_key(clip)}.json"


def _key(clip: Path) -> str:
    """A clip's name for files and keys, which in a shard must hold no dot."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in clip.stem)
    return f"{safe}-{hashlib.sha256(str(clip.name).encode()).hexdigest()[:6]}"


def _create(source: Path, out: Path, is_clip: bool, held_out: bool, config: CreateConfig) -> None:
    """The work of one process on one source."""
    cv2.setNumThreads(1)
    if is_clip:
        _create_clip(source, out, held_out, config)
    else:
        _create_from_still(source, out, config)


def _create_from_still(path: Path, out: Path, config: CreateConfig) -> None:
    """Write the shard of one photograph, then its facts."""
    rng = np.random.default_rng(_seed_of(path, config))
    still = read_still(path)
    kept = [] if still is None else list(_moved(still, rng, config))
    _write(out / "train" / f"{_key(path)}.tar", _key(path), path.name, kept, rng)
    facts = {"clip": path.name, "split": "train", "sequences": config.per_still, "samples": len(kept)}
    facts |= {"error": "cannot be read" if still is None else None, "motion": [each.facts["motion"] for each in kept]}
    _facts_path(out, path).write_text(json.dumps(facts))


def _moved(still: Image, rng: np.random.Generator, config: CreateConfig) -> Iterator[_Kept]:
    """Sequences with made motion from one photograph, without flat ones."""
    for _ in range(config.per_still):
        sequence = moving_patch(still, rng, config.selection.size, config.frames, config.still_motion)
        if sequence is None:
            continue
        grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in sequence]
        if gradient_length(grey[len(grey) // 2]).mean() >= config.selection.min_texture:
            motion = float(np.linalg.norm(optical_flow(grey[0], grey[-1]), axis=2).mean())
            yield _Kept(0.0, sequence, {"motion": motion})


def _create_clip(clip: Path, out: Path, held_out: bool, config: CreateConfig) -> None:
    """Write the shards of one clip, then its facts, which mark it as done."""
    split, key = "validation" if held_out else "train", _key(clip)
    rng = np.random.default_rng(_seed_of(clip, config))
    kept: list[_Kept] = []
    whole: list[_Kept] = []
    facts: dict[str, Any] = {"clip": clip.name, "split": split, "sequences": 0, "error": None}
    try:
        for index, stride, frames in _sequences(_decoded(clip, config), config):
            facts["sequences"] += 1
            if _consider(kept, rng, index, stride, frames, config) and held_out and stride == 1:
                _keep(whole, config.whole_frames, _Kept(rng.random(), np.stack(frames), {"frame": index}))
    except av.FFmpegError as error:
        facts["error"] = f"{type(error).__name__}: {error.strerror}"  # what was decoded before it is kept
    for folder, chosen in ((split, kept), ("whole", whole)):
        _write(out / folder / f"{key}.tar", key, clip.name, chosen, rng)
    facts |= {"samples": len(kept), "motion": [round(each.facts["motion"], 2) for each in kept]}
    _facts_path(out, clip).write_text(json.dumps(facts))


def _write(path: Path, key: str, clip: str, chosen: list[_Kept], rng: np.random.Generator) -> None:
    if not chosen:
        return
    with ShardWriter(path) as shard:
        for number, place in enumerate(rng.permutation(len(chosen))):
            shard.write(f"{key}-{number:05}", chosen[place].frames, {"clip": clip, **chosen[place].facts})


def _decoded(clip: Path, config: CreateConfig) -> Iterator[Image]:
    with av.open(str(clip)) as container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # one process a core decodes already
        for frame in container.decode(stream):
            scale = min(1.0, config.max_short_side / min(frame.width, frame.height))
            width, height = (round(size * scale) // 2 * 2 for size in (frame.width, frame.height))
            yield frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")


def _sequences(frames: Iterable[Image], config: CreateConfig) -> Iterator[tuple[int, int, list[Image]]]:
    """Yield (index of the first frame, stride, frames) for every sequence to be looked at."""
    longest = max(config.strides) * (config.frames - 1) + 1
    window: deque[Image] = deque(maxlen=longest)
    for index, frame in enumerate(frames):
        window.append(frame)
        for stride in config.strides:
            start = index - stride * (config.frames - 1)
            if start >= 0 and start % (config.hop * stride) == 0 and window[0].shape == frame.shape:
                yield start, stride, [window[-1 - stride * back] for back in reversed(range(config.frames))]


def _consider(
    kept: list[_Kept], rng: np.random.Generator, index: int, stride: int, frames: list[Image], config: CreateConfig
) -> bool:
    """Put the sequence's patches into the reservoir; true if it had any worth it.

    Weighted sampling without replacement over a stream of unknown length: keep the largest u ** (1 / weight)
    (Efraimidis and Spirakis, 2006).
    """
    found = find_candidates(frames, config.selection)
    keyed = sorted(((math.log(rng.random()) / c.weight, c) for c in found), key=lambda pair: -pair[0])
    size = config.selection.size
    for key, place in keyed[: config.per_sequence]:
        if len(kept) == config.per_clip and key < kept[0].key:
            break
        inside = (slice(place.top, place.top + size), slice(place.left, place.left + size))
        patch = np.stack([frame[inside] for frame in frames])
        facts = {"frame": index, "stride": stride, "top": place.top, "left": place.left, "motion": place.motion}
        _keep(kept, config.per_clip, _Kept(key, patch, facts))
    return bool(found)


def _keep(kept: list[_Kept], most: int, new: _Kept) -> None:
    if len(kept) < most:
        heapq.heappush(kept, new)
    else:
        heapq.heappushpop(kept, new)
