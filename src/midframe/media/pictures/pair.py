"""Two images to interpolate between."""

from dataclasses import dataclass
from pathlib import Path

from midframe.errors import VideoError
from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.images import Array, on_black, same_profile, unify_formats
from midframe.media.pictures.picture import HDR_TRANSFERS


@dataclass(frozen=True)
class Pair:
    """Two images of one size, type and number of channels."""

    first: Array
    """(H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16."""
    second: Array
    icc_profile: bytes | None
    """Of the first image, or of the second if the first has none."""
    dropped: tuple[str, ...]
    """Properties of the files that the decoded images do not have."""

    @property
    def colours(self) -> tuple[Array, Array]:
        """Return both images without alpha, composited onto black."""
        return on_black(self.first), on_black(self.second)


def read_pair(first: Path, second: Path) -> Pair:
    """Read two images; if one has more bits or alpha, the other one is converted.

    Raises:
        VideoError: one cannot be read, or their sizes differ.
    """
    pictures = [read_picture(path) for path in (first, second)]
    sizes = [
        f"{path} is {picture.image.shape[1]}x{picture.image.shape[0]}"
        for path, picture in zip((first, second), pictures, strict=True)
    ]
    if pictures[0].image.shape[:2] != pictures[1].image.shape[:2]:
        raise VideoError(f"the images differ in size: {', '.join(sizes)}: scale one of them")
    dropped = [
        f"{lost} of {path}"
        for path, each in zip((first, second), pictures, strict=True)
        for lost in each.dropped
    ]
    if any(picture.transfer in HDR_TRANSFERS for picture in pictures):
        dropped.append("HDR transfer function (the result does not store it)")
    profile = pictures[0].icc_profile
    other = pictures[1].icc_profile
    if profile and other and not same_profile(profile, other):
        dropped.append(f"ICC profile of {second} (the result has that of {first})")
    elif not same_profile(profile, other):
        dropped.append(
            f"exact colours of {first if other else second} (it has no ICC profile, the other "
            "image has one)"
        )
    images = unify_formats([picture.image for picture in pictures])
    return Pair(images[0], images[1], profile or other, tuple(dropped))
