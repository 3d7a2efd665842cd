"""The best patches of one file: what every process of `create_dataset` does."""

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

import av
import cv2
import numpy as np

from midframe.data.drawings import moving_drawing
from midframe.data.shards import Frames, ShardWriter
from midframe.data.sources import Source
from midframe.data.stills import StillMotion, moving_patch, read_still
from midframe.data.triplets import (
    Image,
    Selection,
    any_place,
    find_candidates,
    gradient_length,
    optical_flow,
)

THUMBNAIL = 12
"""Patches are compared as pictures of this side, in pixels."""


@dataclass(frozen=True)
class CreateConfig:
    """How a data set is made; kept in it as `dataset.json`, so that it can be made again."""

    selection: Selection = field(default_factory=Selection)
    frames: int = 3
    """Frames in a sample, 3 or more and odd."""
    strides: tuple[int, ...] = (1, 2)
    """Distances between the frames of a sample, in frames of the clip: larger ones give faster motion."""
    scales: tuple[float, ...] = (1.0, 0.6)
    """Sizes at which a clip is looked at: what moves too far at full size may fit into the smaller one."""
    per_clip: int = 400
    """The most samples that one clip gives, so that none dominates."""
    plain: int = 0
    """Samples of each clip that are taken at random, still and flat ones too: what a network is to leave alone."""
    hop: int = 2
    """Frames between the starts of two sequences looked at."""
    per_sequence: int = 6
    """The most patches kept from one sequence."""
    min_novelty: float = 2.0
    """Of two patches that differ less, as thumbnails of all their frames, one is kept; in grey levels."""
    max_short_side: int = 720
    """Larger clips are reduced to this short side, in pixels (AdaConv, section 4)."""
    validation_share: float = 0.12
    """Share of the clips held out for validation, all of a source together."""
    hold_out: tuple[str, ...] = ()
    """Hold out the clips and sources that fit these patterns (`Blender*`) instead of a share."""
    whole_frames: int = 4
    """Whole sequences kept of each validation clip, to measure on frames as people see them."""
    per_still: int = 80
    """Sequences made from each photograph, and for each shard of drawings."""
    still_motion: StillMotion = field(default_factory=StillMotion)
    """How photographs and the layers of drawings move."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 3 or self.frames % 2 == 0:
            raise ValueError(f"a sample of {self.frames} frames has no middle: an odd number from 3 up is needed")
        if min(self.strides) < 1:
            raise ValueError(f"strides are {self.strides}: whole numbers from 1 up are needed")
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales are {self.scales}: numbers above 0, up to 1, are needed")


@dataclass(frozen=True)
class Job:
    """One file to be looked through, or one shard to be drawn."""

    path: Path | None
    """None: drawings are made."""
    out: Path
    key: str
    name: str
    """The file's name below the folder that was searched; of drawings, any that is theirs alone."""
    source: Source
    part: str
    """train, validation, or made: a photograph or drawings."""
    config: CreateConfig


@dataclass(order=True)
class Kept:
    """A patch in the reservoir; the smallest key leaves first."""

    key: float
    frames: Frames = field(compare=False)
    facts: dict[str, Any] = field(compare=False)
    thumbnail: Any = field(default=None, compare=False)


class Reservoir:
    """The patches with the largest keys, no two of them alike.

    Weighted sampling without replacement over a stream of unknown length keeps the largest u ** (1 / weight)
    (Efraimidis and Spirakis, 2006).
    """

    def __init__(self, most: int, min_novelty: float = 0.0) -> None:
        self.most = most
        self.min_novelty = min_novelty
        self.kept: list[Kept] = []

    def wants(self, key: float) -> bool:
        """Whether a patch of this key would be kept, if it is like no other."""
        return len(self.kept) < self.most or key > self.kept[0].key

    def offer(self, new: Kept) -> None:
        """Keep a patch, unless it is like one of a larger key."""
        new.thumbnail = _thumbnail(new.frames)
        if self.kept and self.min_novelty > 0:
            alike = _differences(self.kept, new) < self.min_novelty
            if any(old.key >= new.key for old, like in zip(self.kept, alike, strict=True) if like):
                return
            if alike.any():
                self.kept = [old for old, like in zip(self.kept, alike, strict=True) if not like]
                heapq.heapify(self.kept)
        heapq.heappush(self.kept, new)
        if len(self.kept) > self.most:
            heapq.heappop(self.kept)


def _differences(kept: list[Kept], new: Kept) -> Any:
    """How far a patch is from each of those kept, as thumbnails, in grey levels."""
    return abs(np.stack([old.thumbnail for old in kept]) - new.thumbnail).mean(axis=(1, 2, 3, 4))


def _thumbnail(frames: Frames) -> Any:
    small = [cv2.resize(frame, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(small).astype(np.float32)


def harvest(job: Job) -> None:
    """Write the shards of one file, then its facts, which mark it as done."""
    cv2.setNumThreads(1)
    chance = hashlib.sha256(f"{job.config.seed}/{job.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(chance[:8], "big"))
    facts = {"file": job.name, "part": job.part, "licence": job.source.licence, "attribution": job.source.attribution}
    found, kept, whole = _look(job, rng)
    for folder, chosen in ((job.part, kept), ("whole", whole)):
        _write(job, job.out / folder / f"{job.key}.tar", chosen, rng)
    motion = [round(each.facts["motion"], 2) for each in kept]
    write_facts(facts_path(job), {**facts, **found, "samples": len(kept), "motion": motion})


Found = tuple[dict[str, Any], list[Kept], list[Kept]]
"""What is to be said of a file, its patches, its whole frames."""


def _look(job: Job, rng: np.random.Generator) -> Found:
    if job.path is None:
        return _made(job.config, partial(moving_drawing, rng))
    if job.part == "made":
        return _look_at_still(job.path, job.config, rng)
    return _look_at_clip(job.path, job.part == "validation", job.config, rng)


def _look_at_clip(path: Path, held_out: bool, config: CreateConfig, rng: np.random.Generator) -> Found:
    sequences, error = 0, None
    patches, whole = Reservoir(config.per_clip, config.min_novelty), Reservoir(config.whole_frames)
    plain = Reservoir(config.plain)
    try:
        for index, stride, scale, frames in _sequences(_decoded(path, config), config):
            sequences += 1
            origin = {"frame": index, "stride": stride, "scale": scale}
            worth = _consider(patches, rng, origin, frames, config)
            if config.plain:
                _take_any(plain, rng, origin, frames, config)
            if worth and held_out and stride == 1 and scale == 1:
                whole.offer(Kept(rng.random(), np.stack(frames), {"frame": index}))
    except av.FFmpegError as failure:
        error = f"{type(failure).__name__}: {failure.strerror}"  # what was decoded before it is kept
    return {"sequences": sequences, "error": error}, patches.kept + plain.kept, whole.kept


def _look_at_still(path: Path, config: CreateConfig, rng: np.random.Generator) -> Found:
    still = read_still(path)
    if still is None:
        return {"sequences": 0, "error": "cannot be read"}, [], []
    return _made(config, partial(moving_patch, still, rng))


def _made(config: CreateConfig, make: Callable[[int, int, StillMotion], Frames | None]) -> Found:
    """Sequences with made motion, from a size, a number of frames and a motion, without flat ones."""
    kept = []
    for number in range(config.per_still):
        sequence = make(config.selection.size, config.frames, config.still_motion)
        if sequence is not None and _texture(sequence) >= config.selection.min_texture:
            kept.append(Kept(number, sequence, {"motion": _motion(sequence)}))
    return {"sequences": config.per_still, "error": None}, kept, []


def _texture(sequence: Frames) -> float:
    """Mean gradient of the frame in the middle, in grey levels a pixel."""
    return float(gradient_length(_grey(sequence[len(sequence) // 2])).mean())


def _take_any(
    plain: Reservoir, rng: np.random.Generator, origin: dict[str, Any], frames: list[Image], config: CreateConfig
) -> None:
    """Offer a patch from anywhere to the reservoir of those that nothing is asked of."""
    size, key = config.selection.size, float(rng.random())
    if plain.wants(key) and (place := any_place(frames, size, config.selection, rng)):
        top, left = place
        patch = np.stack([frame[top : top + size, left : left + size] for frame in frames])
        plain.offer(Kept(key, patch, {**origin, "top": top, "left": left, "motion": _motion(patch), "plain": True}))


def _grey(frame: Image) -> Image:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _motion(sequence: Frames) -> float:
    """Mean length of the flow from the first frame to the last, in pixels."""
    return float(np.linalg.norm(optical_flow(_grey(sequence[0]), _grey(sequence[-1])), axis=2).mean())


def facts_path(job: Job) -> Path:
    """Where what was found in a file is written when it is done."""
    return job.out / "files" / f"{job.key}.json"


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write what was found in a file; it appears when it is whole."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(facts))
    unfinished.replace(path)


def _write(job: Job, path: Path, chosen: list[Kept], rng: np.random.Generator) -> None:
    if not chosen:
        return
    said = {"file": job.name, "licence": job.source.licence, "attribution": job.source.attribution}
    with ShardWriter(path) as shard:
        for number, place in enumerate(rng.permutation(len(chosen))):
            shard.write(f"{job.key}-{number:05}", chosen[place].frames, {**said, **chosen[place].facts})


def _decoded(clip: Path, config: CreateConfig) -> Iterator[Image]:
    with av.open(f"file:{clip}") as container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # one process a core decodes already
        for frame in container.decode(stream):
            scale = min(1.0, config.max_short_side / min(frame.width, frame.height))
            width, height = (round(size * scale) // 2 * 2 for size in (frame.width, frame.height))
            yield frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")


def _sequences(frames: Iterable[Image], config: CreateConfig) -> Iterator[tuple[int, int, float, list[Image]]]:
    """Yield (index of the first frame, stride, scale, frames) for every sequence to be looked at."""
    longest = max(config.strides) * (config.frames - 1) + 1
    windows: dict[float, deque[Image]] = {scale: deque(maxlen=longest) for scale in config.scales}
    for index, frame in enumerate(frames):
        for scale, window in windows.items():
            window.append(_reduced(frame, scale))
            for stride in config.strides:
                start = index - stride * (config.frames - 1)
                if start >= 0 and start % (config.hop * stride) == 0 and window[0].shape == window[-1].shape:
                    yield start, stride, scale, [window[-1 - stride * back] for back in reversed(range(config.frames))]


def _reduced(frame: Image, scale: float) -> Image:
    if scale == 1:
        return frame
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _consider(
    patches: Reservoir, rng: np.random.Generator, origin: dict[str, Any], frames: list[Image], config: CreateConfig
) -> bool:
    """Offer the sequence's patches to the reservoir; true if it had any worth it."""
    found = find_candidates(frames, config.selection)
    keyed = sorted(((math.log(rng.random()) / c.weight, c) for c in found), key=lambda pair: -pair[0])
    size = config.selection.size
    for key, place in keyed[: config.per_sequence]:
        if not patches.wants(key):
            break
        inside = (slice(place.top, place.top + size), slice(place.left, place.left + size))
        patch = np.stack([frame[inside] for frame in frames])
        patches.offer(Kept(key, patch, {**origin, "top": place.top, "left": place.left, "motion": place.motion}))
    return bool(found)
