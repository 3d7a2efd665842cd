"""Replacement of predictions: in static areas, and where they are not reliable.

Static areas are exact by construction: where neither a pixel's surroundings nor the positions that
its flows point to change from frame to frame, the average of both frames by time is shown. The
surroundings alone are not sufficient: an object may pass over an area that is equal in both frames,
and then the flows point to pixels that change. The noise of a camera or of compression hides that
an area is static, so the average is also shown where the flows are short and align both frames
hardly better than no motion does.

A prediction is not reliable where both frames disagree along their flows and the mask prefers
neither. Frames disagree at an occlusion too, but there the mask prefers the frame that shows the
object. Where the mask prefers neither, a cut was missed or a motion is too large to be found;
blending would show two ghosts, so the nearest frame is shown instead.
"""

from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import AXES, FRAMES, FieldLayout
from midframe.ops.constants import constant
from midframe.ops.warping import warp

MIN_INCONSISTENCY, MAX_INCONSISTENCY = 0.15, 0.30
"""Inconsistency up to which confidence is 1, and from which it is 0; in brightness from 0 to 1."""
STATIC_DIFFERENCE, MOVING_DIFFERENCE = 0.5 / 255, 2.5 / 255
"""Difference up to which an area is static, and from which it moves; in brightness from 0 to 1.
Chosen on 72 triplets of validation clips, of which none lost 0.001 dB; with 4 / 255 some lost 0.02
dB."""

STATIC_MOTION, MOVING_MOTION = 0.5, 1.0
"""Motion from frame to frame along an axis up to which noisy areas can be static, and from which
they move; in pixels of the fields."""
MIN_MOTION_GAIN, MAX_MOTION_GAIN = 0.3 / 255, 1 / 255
"""How much less both frames may differ along the flows than at the same position in static areas,
and from which value on areas move; mean differences in brightness from 0 to 1."""
STATIC_NOISE, MOVING_NOISE = 3 / 255, 6 / 255
"""Mean difference at the same position up to which areas can be static, and from which they move:
what appears from behind an object differs, though no flow leads there."""
STATIC_PEAK, MOVING_PEAK = 32 / 255, 64 / 255
"""The same for the largest difference of a pixel: details that are smaller than a value of the
fields differ, though the fields do not show it."""


def confidence_of(alignment: Tensor) -> Tensor:
    """Return how reliable fields are, (N, 1, h, w), from 0 to 1, by `Steps.alignment`."""
    inconsistency = alignment[:, :1]
    return _smooth_step_down(inconsistency, MIN_INCONSISTENCY, MAX_INCONSISTENCY)


def static_weight(difference: Tensor, alignment: Tensor, fields: Tensor) -> Tensor:
    """Return how static frames are, (N, 1, h, w), from 0 (moving) to 1 (static).

    Args:
        difference: the largest difference around each value, (N, 1, h, w), from
            `Steps.local_difference`.
        alignment: (N, 3, h, w), from `Steps.alignment`.
        fields: (N, 4 + 4K + 4, h, w).
    """
    layout = FieldLayout.of(fields)
    at_first = warp(difference, fields[:, layout.flow_to_first])
    at_second = warp(difference, fields[:, layout.flow_to_second])
    largest = difference.maximum(at_first).maximum(at_second)
    # A pixel's fields are interpolated between neighbouring values: if one of them moves, none of
    # them is replaced.
    largest = functional.max_pool2d(largest, 3, stride=1, padding=1)
    equal = _smooth_step_down(largest, STATIC_DIFFERENCE, MOVING_DIFFERENCE)
    along_flows, in_place = alignment[:, 1:2], alignment[:, 2:3]
    motion = fields[:, layout.flow_to_second] - fields[:, layout.flow_to_first]
    length = motion.abs().amax(1, keepdim=True)
    noisy = (
        _smooth_step_down(length, STATIC_MOTION, MOVING_MOTION)
        * _smooth_step_down(in_place - along_flows, MIN_MOTION_GAIN, MAX_MOTION_GAIN)
        * _smooth_step_down(in_place, STATIC_NOISE, MOVING_NOISE)
        * _smooth_step_down(largest, STATIC_PEAK, MOVING_PEAK)
    )
    return equal.maximum(noisy)


def fall_back(fields: Tensor, confidence: Tensor, static: Tensor, t: Tensor) -> Tensor:
    """Replace fields in static areas by the average at the same place, and unreliable fields by the
    nearest frame.

    Args:
        fields: (N, 4 + 4K + 4, h, w).
        confidence: from `confidence_of`.
        static: from `static_weight`; static areas show the average of both frames weighted by time,
            whatever their confidence.
        t: (N, 1, 1, 1), from 0 to 1; at 0.5 the first frame is the nearest.

    Returns:
        Fields with smooth transitions between the three cases.
    """
    layout = FieldLayout.of(fields)
    delta = [float(tap == layout.taps // 2) for tap in range(layout.taps)]  # the identity kernel
    flows, _, mask, residual = layout.group_sizes
    unmoved = (*[0.0] * flows, *delta * (FRAMES * AXES), *[0.0] * (mask + residual))
    identity = constant(unmoved, fields.device).to(fields.dtype).view(1, -1, 1, 1)
    result = identity.lerp(fields, confidence * (1 - static))
    nearest_is_first = t <= 0.5
    result[:, layout.mask] += (1 - static) * (1 - confidence) * nearest_is_first + static * (1 - t)
    return result


def _smooth_step_down(values: Tensor, start: float, end: float) -> Tensor:
    """Decrease smoothly from 1 at `start` and below to 0 at `end` and above (smoothstep)."""
    rising = ((values - start) / (end - start)).clamp(0, 1)
    return 1 - rising * rising * (3 - 2 * rising)
