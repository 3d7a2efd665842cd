"""The configuration of a FlowSep."""

from dataclasses import dataclass

from midframe.ops.resampling import Resampling, check_resampling

LEVELS = 4
"""Number of levels: features are at 1/2, 1/4, 1/8 and 1/16 of the processed resolution."""


@dataclass(frozen=True)
class FlowSepConfig:
    """The configuration of the network.

    The defaults are the settings of `flowsep-small`. Weight files and runs of earlier versions omit
    settings that were added later, so the defaults must not change.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of the features, finest level first."""
    hidden: tuple[int, ...] = (32, 48, 64, 96)
    """Channels of the features that a decoder passes to the next level, finest level first."""
    radii: tuple[int, ...] = (0, 3, 4, 4)
    """Radius of the correlation at each level, in its pixels; 0 for no correlation."""
    taps: int = 5
    """Length of the kernels in pixels, odd; with 1 frames are only warped."""
    bidirectional_levels: int = 1
    """Number of coarsest levels at which flows are estimated for both orders of the frames and
    averaged, which reduces the error."""
    propagation_distance: int = 4
    """Distance in pixels of flow propagation: the finest level starts with the flow of each pixel
    or of a pixel at this distance, whichever aligns both frames better; 0 to disable it."""
    dominant_motions: int = 0
    """Number of motions of the whole frame that flow propagation also tries for each pixel, for
    repeated patterns; 0 for none."""
    kernel_normalisation: bool = True
    """Divide kernels by their sums, so that they do not change the brightness."""
    coarse_passes: int = 0
    """Number of coarse passes: the coarsest decoder first runs on frames that are downsampled by 2
    once more for each pass; each pass doubles the largest motion that is found."""
    resampling: Resampling = "linear"
    """How frames are interpolated between pixels: "linear", or "cubic", which blurs less at the
    cost of two more rows and columns of pixels."""

    def __post_init__(self) -> None:
        for name in ("widths", "hidden", "radii"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            smallest = 0 if name == "radii" else 1
            if len(values) != LEVELS or min(values) < smallest:
                raise ValueError(
                    f"{name} are {values}: {LEVELS} numbers from {smallest} are needed"
                )
        if not 0 <= self.bidirectional_levels <= LEVELS:
            raise ValueError(
                f"bidirectional_levels is {self.bidirectional_levels}: "
                f"a number from 0 to {LEVELS} is needed"
            )
        if self.propagation_distance < 0:
            raise ValueError(
                f"propagation_distance is {self.propagation_distance}: "
                "a distance in pixels, or 0, is needed"
            )
        if not 0 <= self.dominant_motions <= 8:
            raise ValueError(
                f"dominant_motions is {self.dominant_motions}: a number from 0 to 8 is needed"
            )
        if not 0 <= self.coarse_passes <= 3:
            raise ValueError(
                f"coarse_passes is {self.coarse_passes}: a number from 0 to 3 is needed"
            )
        if self.taps % 2 == 0 or not 1 <= self.taps <= 11:
            raise ValueError(f"taps is {self.taps}: an odd number from 1 to 11 is needed")
        check_resampling(self.resampling)
