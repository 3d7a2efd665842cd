"""Extract the best patches of one file; `create_dataset` runs this in parallel processes."""

import hashlib
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

from midframe.data.aliases import rename_metadata, split_folder
from midframe.data.clips import ClipFrame, read_clip
from midframe.data.create_config import CreateConfig
from midframe.data.drawings import render_drawing
from midframe.data.photographs import SyntheticMotion, read_photograph, render_moving_patch
from midframe.data.reservoir import Patch, Reservoir
from midframe.data.shards import Frames, ShardWriter
from midframe.data.sources import Source
from midframe.data.triplets import (
    Image,
    choose_random_position,
    find_candidates,
    gradient_magnitude,
    optical_flow,
)
from midframe.errors import VideoError
from midframe.media.reading.sources import identity_of

SPLITS = ("train", "synthetic", "validation")
"""Folders of shards: patches of clips; photographs and drawings with synthetic motion; patches of
held-out clips."""
FRAMES_FOLDER = "validation_frames"
"""Folder of the full-size sequences of held-out clips."""
ALL_SPLITS = (*SPLITS, FRAMES_FOLDER)


@dataclass(frozen=True)
class ExtractionJob:
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


def extract_samples(job: ExtractionJob) -> None:
    """Write the shards of one file, then its metadata file, which marks the file as done; those of
    an earlier extraction are replaced."""
    cv2.setNumThreads(1)
    identity = identity_of(job.path) if job.path else None
    metadata_path(job).unlink(missing_ok=True)
    for split in ALL_SPLITS:
        shard_path(job, split).unlink(missing_ok=True)
    digest = hashlib.sha256(f"{job.config.seed}/{job.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    found = _extract(job, rng)
    for split, patches in ((job.split, found.patches), (FRAMES_FOLDER, found.sequences)):
        _write(job, shard_path(job, split), patches, rng)
    metadata = {
        "file": job.name,
        "split": job.split,
        "licence": job.source.licence,
        "attribution": job.source.attribution,
        "sequences": found.count,
        "error": found.error,
        "failed": found.failed,
        "identity": identity,
        "samples": len(found.patches),
        "motion": [round(each.metadata["motion"], 2) for each in found.patches],
    }
    write_metadata(metadata_path(job), metadata)


@dataclass(frozen=True)
class _Extracted:
    """The result of searching one file."""

    count: int
    """Number of sequences searched."""
    error: str | None
    """Why reading stopped early, if it did, or why nothing in the file can be used."""
    patches: list[Patch]
    sequences: list[Patch] = field(default_factory=list)
    """Full-size sequences, of validation clips only."""
    failed: bool = False
    """Whether reading stopped early."""


def _extract(job: ExtractionJob, rng: np.random.Generator) -> _Extracted:
    if job.path is None:
        return _render_synthetic(job.config, partial(render_drawing, rng))
    if job.split == "synthetic":
        return _extract_from_photograph(job.path, job.config, rng)
    return _extract_from_clip(job.path, job.config, rng, held_out=job.split == "validation")


def _extract_from_clip(
    path: Path, config: CreateConfig, rng: np.random.Generator, *, held_out: bool
) -> _Extracted:
    count = 0
    error, failed = None, False
    patches = Reservoir(config.per_clip, config.min_novelty)
    random_patches = Reservoir(config.random_patches)
    full_size = Reservoir(config.validation_sequences)
    try:
        for index, stride, scale, frames in _find_sequences(
            read_clip(path, config.max_short_side), config
        ):
            count += 1
            height, width = frames[0].shape[:2]
            if scale == 1 and min(height, width) < config.selection.size:
                error = f"{width}x{height} pixels: smaller than a sample ({config.selection.size})"
            origin = {"frame": index, "stride": stride, "scale": scale}
            any_candidate = _offer_candidates(patches, rng, origin, frames, config)
            if config.random_patches:
                _offer_random(random_patches, rng, origin, frames, config)
            if any_candidate and held_out and stride == 1 and scale == 1:
                full_size.offer(Patch(rng.random(), np.stack(frames), {"frame": index}))
    except VideoError as failure:  # frames decoded before the error are used
        error, failed = str(failure).removeprefix(f"{path} "), True
    found = patches.patches + random_patches.patches
    return _Extracted(count, error, found, full_size.patches, failed)


def _extract_from_photograph(
    path: Path, config: CreateConfig, rng: np.random.Generator
) -> _Extracted:
    photograph = read_photograph(path)
    if photograph is None:
        return _Extracted(0, "cannot be read", [], failed=True)
    return _render_synthetic(config, partial(render_moving_patch, photograph, rng))


def _render_synthetic(
    config: CreateConfig, render: Callable[[int, int, SyntheticMotion], Frames | None]
) -> _Extracted:
    """Render sequences from a size, a number of frames and a motion; drop flat ones."""
    patches = []
    for number in range(config.per_photograph):
        sequence = render(config.selection.size, config.frames, config.synthetic_motion)
        if sequence is not None and _texture(sequence) >= config.selection.min_texture:
            patches.append(Patch(number, sequence, {"motion": _motion(sequence)}))
    return _Extracted(config.per_photograph, None, patches)


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
    """Offer a patch at a random position; only cuts and duplicate frames are excluded."""
    size = config.selection.size
    key = float(rng.random())
    if not reservoir.would_keep(key):
        return
    position = choose_random_position(frames, size, config.selection, rng)
    if position is None:
        return
    top, left = position
    patch = np.stack([frame[top : top + size, left : left + size] for frame in frames])
    measured = {"top": top, "left": left, "motion": _motion(patch), "random": True}
    reservoir.offer(Patch(key, patch, {**origin, **measured}))


def _grey(frame: Image) -> Image:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _motion(sequence: Frames) -> float:
    """Return the mean length of the flow from the first frame to the last, in pixels."""
    flow = optical_flow(_grey(sequence[0]), _grey(sequence[-1]))
    return float(np.linalg.norm(flow, axis=2).mean())


def metadata_path(job: ExtractionJob) -> Path:
    """Return the path of a file's metadata, which exists once the file is done."""
    return job.out / "files" / f"{job.key}.json"


def shard_path(job: ExtractionJob, split: str) -> Path:
    """Return the path of a file's shard in a split."""
    return split_folder(job.out, split) / f"{job.key}.tar"


def is_done(job: ExtractionJob) -> bool:
    """Return whether the samples of a file are in the dataset, by its metadata: the same file was
    read without an error, for the same split, and its licence is the same.

    Older versions did not record the identity of the file.
    """
    try:
        found = rename_metadata(json.loads(metadata_path(job).read_text()))
    except (FileNotFoundError, ValueError):  # damaged, as by a power cut
        return False
    source = {"licence": job.source.licence, "attribution": job.source.attribution}
    if found.get("failed") or any(found.get(name) != text for name, text in source.items()):
        return False
    identity = found.get("identity")
    return found.get("split") == job.split and (
        job.path is None or identity is None or identity == identity_of(job.path)
    )


def write_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata of a file; the path exists only once it is complete."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(metadata))
    unfinished.replace(path)


def _write(job: ExtractionJob, path: Path, patches: list[Patch], rng: np.random.Generator) -> None:
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


def _find_sequences(
    frames: Iterable[ClipFrame], config: CreateConfig
) -> Iterator[tuple[int, int, float, list[Image]]]:
    """Yield every sequence of frames that is searched for patches; no sequence spans a cut.

    Yields:
        Index of the first frame, stride (distance of the frames), scale, and the frames.
    """
    longest = max(config.strides) * (config.frames - 1) + 1
    windows: dict[float, deque[Image]] = {scale: deque(maxlen=longest) for scale in config.scales}
    steps_back = range(config.frames - 1, -1, -1)
    for index, frame in enumerate(frames):
        for scale, window in windows.items():
            if frame.begins_scene:
                window.clear()
            window.append(_downscale(frame.image, scale))
            for stride in config.strides:
                start = index - stride * (config.frames - 1)
                complete = len(window) > index - start
                if complete and start % (config.hop * stride) == 0:
                    yield start, stride, scale, [window[-1 - stride * n] for n in steps_back]


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
    # random keys for weighted sampling without replacement: the largest ones are kept
    keyed = [(math.log(rng.random()) / candidate.weight, candidate) for candidate in found]
    keyed.sort(key=lambda pair: -pair[0])
    size = config.selection.size
    for key, candidate in keyed[: config.per_sequence]:
        if not patches.would_keep(key):
            break
        top, left = candidate.top, candidate.left
        patch = np.stack([frame[top : top + size, left : left + size] for frame in frames])
        measured = {"top": top, "left": left, "motion": candidate.motion}
        patches.offer(Patch(key, patch, {**origin, **measured}))
    return bool(found)
