"""Extract the best patches of one file; `create_dataset` runs this in parallel processes."""

import hashlib
import heapq
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.aliases import split_folder
from midframe.data.clips import ClipFrame, read_clip
from midframe.data.drawings import render_drawing
from midframe.data.photographs import SyntheticMotion, read_photograph, render_moving_patch
from midframe.data.shards import Frames, ShardWriter
from midframe.data.sources import Source
from midframe.data.triplets import (
    Image,
    Selection,
    choose_random_place,
    find_candidates,
    gradient_magnitude,
    optical_flow,
)
from midframe.errors import VideoError

THUMBNAIL = 12
"""Height and width in pixels of the thumbnails by which patches are compared."""


@dataclass(frozen=True)
class CreateConfig:
    """Settings of a dataset; stored in it as `dataset.json`, so that it can be reproduced."""

    selection: Selection = field(default_factory=Selection)
    frames: int = 3
    """Frames per sample, odd, 3 or more."""
    strides: tuple[int, ...] = (1, 2)
    """Distances between the frames of a sample, in frames of the clip."""
    scales: tuple[float, ...] = (1.0, 0.6)
    """Scales at which a clip is searched: motion too fast at full size may fit at a smaller one."""
    per_clip: int = 400
    """Maximum number of samples per clip, so that no clip dominates."""
    random_patches: int = 0
    """Additional samples per clip at random places, static and flat ones too."""
    hop: int = 2
    """Distance between the starts of successive sequences, in frames times the stride."""
    per_sequence: int = 6
    """Maximum number of patches from one sequence."""
    min_novelty: float = 2.0
    """Of two patches whose thumbnails differ by less than this, in grey levels, one is kept."""
    max_short_side: int = 720
    """Larger clips are downscaled to this short side, in pixels (AdaConv, section 4)."""
    validation_fraction: float = 0.12
    """Fraction of the clips held out for validation; the clips of a source stay together."""
    hold_out: tuple[str, ...] = ()
    """Patterns (`Blender*`) of the clips or sources to hold out, instead of a fraction."""
    validation_sequences: int = 4
    """Number of full-size sequences kept from each validation clip."""
    per_photograph: int = 80
    """Sequences rendered from each photograph, and for each shard of drawings."""
    synthetic_motion: SyntheticMotion = field(default_factory=SyntheticMotion)
    """Motion of photographs and of the layers of drawings."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 3 or self.frames % 2 == 0:
            raise ValueError(
                f"a sample of {self.frames} frames has no middle: give an odd number from 3 up"
            )
        if min(self.strides) < 1:
            raise ValueError(f"strides are {self.strides}: give integers from 1 up")
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales are {self.scales}: give numbers above 0, up to 1")


@dataclass(frozen=True)
class Job:
    """One file to extract samples from, or one shard of drawings to render."""

    path: Path | None
    """None: a shard of drawings."""
    out: Path
    key: str
    name: str
    """Path of the file below the searched folder; of drawings, a unique name."""
    source: Source
    split: str
    """train, validation or synthetic."""
    config: CreateConfig


@dataclass(order=True)
class Patch:
    """A patch in the reservoir; the one with the smallest key is evicted first."""

    key: float
    frames: Frames = field(compare=False)
    metadata: dict[str, Any] = field(compare=False)
    thumbnail: Any = field(default=None, compare=False)


class Reservoir:
    """Keeps the patches with the largest keys, without near-duplicates.

    Weighted sampling without replacement from a stream of unknown length keeps the items with the
    largest u ** (1 / weight) (Efraimidis and Spirakis, 2006).
    """

    def __init__(self, capacity: int, min_novelty: float = 0.0) -> None:
        self.capacity = capacity
        self.min_novelty = min_novelty
        self.patches: list[Patch] = []

    def would_keep(self, key: float) -> bool:
        """Return whether a patch with this key would be kept if it duplicates no other."""
        return len(self.patches) < self.capacity or key > self.patches[0].key

    def offer(self, new: Patch) -> None:
        """Add a patch, unless it duplicates one with a larger key."""
        new.thumbnail = _thumbnail(new.frames)
        if self.patches and self.min_novelty > 0:
            similar = _differences(self.patches, new) < self.min_novelty
            pairs = list(zip(self.patches, similar, strict=True))
            if any(old.key >= new.key for old, duplicate in pairs if duplicate):
                return
            if similar.any():
                self.patches = [old for old, duplicate in pairs if not duplicate]
                heapq.heapify(self.patches)
        heapq.heappush(self.patches, new)
        if len(self.patches) > self.capacity:
            heapq.heappop(self.patches)


def _differences(patches: list[Patch], new: Patch) -> Any:
    """Return the mean difference of the thumbnails from a new one, (P,), in grey levels."""
    return abs(np.stack([old.thumbnail for old in patches]) - new.thumbnail).mean(axis=(1, 2, 3, 4))


def _thumbnail(frames: Frames) -> Any:
    size = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(small).astype(np.float32)


def extract_samples(job: Job) -> None:
    """Write the shards of one file, then its metadata, which mark the file as done."""
    cv2.setNumThreads(1)
    digest = hashlib.sha256(f"{job.config.seed}/{job.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    found = _extract(job, rng)
    for split, patches in ((job.split, found.patches), ("validation_frames", found.sequences)):
        _write(job, split_folder(job.out, split) / f"{job.key}.tar", patches, rng)
    metadata = {
        "file": job.name,
        "split": job.split,
        "licence": job.source.licence,
        "attribution": job.source.attribution,
        "sequences": found.count,
        "error": found.error,
        "samples": len(found.patches),
        "motion": [round(each.metadata["motion"], 2) for each in found.patches],
    }
    write_metadata(metadata_path(job), metadata)


@dataclass(frozen=True)
class _Found:
    """The result of searching one file."""

    count: int
    """Number of sequences searched."""
    error: str | None
    """Why reading stopped early, if it did."""
    patches: list[Patch]
    sequences: list[Patch] = field(default_factory=list)
    """Full-size sequences, of validation clips only."""


def _extract(job: Job, rng: np.random.Generator) -> _Found:
    if job.path is None:
        return _render_synthetic(job.config, partial(render_drawing, rng))
    if job.split == "synthetic":
        return _extract_from_photograph(job.path, job.config, rng)
    return _extract_from_clip(job.path, job.split == "validation", job.config, rng)


def _extract_from_clip(
    path: Path, held_out: bool, config: CreateConfig, rng: np.random.Generator
) -> _Found:
    count = 0
    error = None
    patches = Reservoir(config.per_clip, config.min_novelty)
    random_patches = Reservoir(config.random_patches)
    full_size = Reservoir(config.validation_sequences)
    try:
        for index, stride, scale, frames in _sequences(
            read_clip(path, config.max_short_side), config
        ):
            count += 1
            origin = {"frame": index, "stride": stride, "scale": scale}
            any_candidate = _offer_candidates(patches, rng, origin, frames, config)
            if config.random_patches:
                _offer_random(random_patches, rng, origin, frames, config)
            if any_candidate and held_out and stride == 1 and scale == 1:
                full_size.offer(Patch(rng.random(), np.stack(frames), {"frame": index}))
    except VideoError as failure:  # frames decoded before the error are used
        error = str(failure)
    return _Found(count, error, patches.patches + random_patches.patches, full_size.patches)


def _extract_from_photograph(path: Path, config: CreateConfig, rng: np.random.Generator) -> _Found:
    photograph = read_photograph(path)
    if photograph is None:
        return _Found(0, "cannot be read", [])
    return _render_synthetic(config, partial(render_moving_patch, photograph, rng))


def _render_synthetic(
    config: CreateConfig, render: Callable[[int, int, SyntheticMotion], Frames | None]
) -> _Found:
    """Render sequences from a size, a number of frames and a motion; drop flat ones."""
    patches = []
    for number in range(config.per_photograph):
        sequence = render(config.selection.size, config.frames, config.synthetic_motion)
        if sequence is not None and _texture(sequence) >= config.selection.min_texture:
            patches.append(Patch(number, sequence, {"motion": _motion(sequence)}))
    return _Found(config.per_photograph, None, patches)


def _texture(sequence: Frames) -> float:
    """Return the mean gradient of the middle frame, in grey levels per pixel."""
    return float(gradient_magnitude(_grey(sequence[len(sequence) // 2])).mean())


def _offer_random(
    reservoir: Reservoir,
    rng: np.random.Generator,
    origin: dict[str, Any],
    frames: list[Image],
    config: CreateConfig,
) -> None:
    """Offer a patch at a random place; only cuts and duplicate frames are excluded."""
    size = config.selection.size
    key = float(rng.random())
    if not reservoir.would_keep(key):
        return
    place = choose_random_place(frames, size, config.selection, rng)
    if place is None:
        return
    top, left = place
    patch = np.stack([frame[top : top + size, left : left + size] for frame in frames])
    measured = {"top": top, "left": left, "motion": _motion(patch), "random": True}
    reservoir.offer(Patch(key, patch, {**origin, **measured}))


def _grey(frame: Image) -> Image:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _motion(sequence: Frames) -> float:
    """Return the mean length of the flow from the first frame to the last, in pixels."""
    flow = optical_flow(_grey(sequence[0]), _grey(sequence[-1]))
    return float(np.linalg.norm(flow, axis=2).mean())


def metadata_path(job: Job) -> Path:
    """Return the path of a file's metadata, which exists once the file is done."""
    return job.out / "files" / f"{job.key}.json"


def write_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata of a file; the path exists only once it is complete."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(metadata))
    unfinished.replace(path)


def _write(job: Job, path: Path, patches: list[Patch], rng: np.random.Generator) -> None:
    if not patches:
        return
    source = {
        "file": job.name,
        "licence": job.source.licence,
        "attribution": job.source.attribution,
    }
    with ShardWriter(path) as shard:
        for number, index in enumerate(rng.permutation(len(patches))):
            patch = patches[index]
            shard.write(f"{job.key}-{number:05}", patch.frames, {**source, **patch.metadata})


def _sequences(
    frames: Iterable[ClipFrame], config: CreateConfig
) -> Iterator[tuple[int, int, float, list[Image]]]:
    """Yield (index of the first frame, stride, scale, frames) for every sequence to search; none
    spans a cut."""
    longest = max(config.strides) * (config.frames - 1) + 1
    windows: dict[float, deque[Image]] = {scale: deque(maxlen=longest) for scale in config.scales}
    backwards = range(config.frames - 1, -1, -1)
    for index, frame in enumerate(frames):
        for scale, window in windows.items():
            if frame.begins_scene:
                window.clear()
            window.append(_downscale(frame.image, scale))
            for stride in config.strides:
                start = index - stride * (config.frames - 1)
                complete = len(window) > index - start
                if complete and start % (config.hop * stride) == 0:
                    yield start, stride, scale, [window[-1 - stride * n] for n in backwards]


def _downscale(frame: Image, scale: float) -> Image:
    if scale == 1:
        return frame
    resized = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _offer_candidates(
    patches: Reservoir,
    rng: np.random.Generator,
    origin: dict[str, Any],
    frames: list[Image],
    config: CreateConfig,
) -> bool:
    """Offer the best patches of a sequence to the reservoir; return whether there are any."""
    found = find_candidates(frames, config.selection)
    keyed = [(math.log(rng.random()) / candidate.weight, candidate) for candidate in found]
    keyed.sort(key=lambda pair: -pair[0])
    size = config.selection.size
    for key, place in keyed[: config.per_sequence]:
        if not patches.would_keep(key):
            break
        inside = (slice(place.top, place.top + size), slice(place.left, place.left + size))
        patch = np.stack([frame[inside] for frame in frames])
        measured = {"top": place.top, "left": place.left, "motion": place.motion}
        patches.offer(Patch(key, patch, {**origin, **measured}))
    return bool(found)
