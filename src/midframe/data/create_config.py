"""Settings of a dataset that is made from videos and images."""

from dataclasses import dataclass, field

from midframe.data.photographs import SyntheticMotion
from midframe.data.triplets import Selection


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
        if min(self.selection.size, self.per_clip) < 1 or self.random_patches < 0:
            raise ValueError(
                f"size is {self.selection.size}, per_clip {self.per_clip} and random_patches "
                f"{self.random_patches}: give numbers from 1 up, random_patches from 0"
            )
        if min(self.strides) < 1:
            raise ValueError(f"strides are {self.strides}: give integers from 1 up")
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales are {self.scales}: give numbers above 0, up to 1")
