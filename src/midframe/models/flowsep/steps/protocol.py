"""The interface of all implementations of FlowSep's steps."""

from typing import Protocol

from torch import Tensor

from midframe.ops.resampling import Resampling


class Steps(Protocol):
    """The computations of FlowSep besides convolutions, in the order of one frame.

    Where a step is differentiable depends on the implementation; `select_steps` returns the one for
    a device, with gradients if needed. Fields are laid out by `FieldLayout`.
    """

    def downsample(self, frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
        """Average a frame over squares of `factor` pixels.

        The frame is padded with its edge below and on the right so that its size is a multiple of
        `factor`, and the size of the result a multiple of `multiple`.

        Args:
            frame: (N, C, H, W).
            factor: of downsampling.
            multiple: of the result's height and width.

        Returns:
            (N, C, h, w) in the type of the frame.
        """

    def local_difference(
        self, first: Tensor, second: Tensor, factor: int, size: tuple[int, int]
    ) -> Tensor:
        """Measure the largest difference of two frames around each value of the fields.

        An average would hide changes that alternate from pixel to pixel (a checkerboard that
        inverts).

        Args:
            first, second: frames (N, C, H, W), float32; all channels count.
            factor: pixels along each axis of the square that a value of the fields covers.
            size: height and width of the fields; `factor` times them are at least the frames' size.

        Returns:
            (N, 1, h, w), the largest absolute difference over `REACH` values in each direction.
        """

    def propagate_flow(
        self,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        t: Tensor,
        distance: int,
        dominant_motions: int,
    ) -> Tensor:
        """Replace each pixel's flow by that of a nearby pixel, or by a motion that many pixels
        have, if this aligns both frames better.

        Candidates are the pixel's own flow and those of eight pixels at a distance (propagation as
        in PatchMatch, doi 10.1145/1531326.1531330). Flows from a lower resolution are blurred at
        motion boundaries; near such a boundary, the correct flow of a pixel is found on one of its
        sides. Then dominant motions of the whole frame are candidates too
        (`follow_dominant_motions`). The flows are then averaged over 3x3 pixels, because seams
        between very different flows are visible as cracks.

        Args:
            first, second: frames at the size of the flow, (N, C, h, w), float32.
            flow: to the first and to the second frame, (N, 4, h, w) float32, x before y, in pixels.
            t: time, (N, 1, 1, 1), from 0 (first frame) to 1 (second).
            distance: to the candidates, vertical, horizontal and diagonal, in pixels; clamped at
                the edges; 0 for none.
            dominant_motions: how many are candidates; 0 for none. If both are 0, flows are not
                changed.

        Returns:
            Flows (N, 4, h, w). Differentiable in the flow; the choice does not depend on gradients.
        """

    def decoder_input(
        self,
        features: Tensor,
        carried: Tensor | None,
        flow: Tensor,
        t: Tensor,
        radius: int,
        multiple: int = 1,
    ) -> Tensor:
        """Concatenate warped features, their correlation, carried features, flow and t.

        Args:
            features: of both frames, (2N, C, h, w), first frames first, float32, float16 or
                bfloat16.
            carried: features of the coarser level, (N, D, h/2, w/2) in their type, upsampled here;
                or None.
            flow: to the first and to the second frame, (N, 4, h, w) float32, x before y, in pixels
                of this level.
            t: time, (N, 1, 1, 1), from 0 (first frame) to 1 (second).
            radius: of the correlation around where the flows lead (`local_correlation` of features
                scaled to the length 1), in pixels; 0 for none.
            multiple: channels of zeros are appended up to a multiple of this count.

        Returns:
            (N, 2C + (2 radius + 1)^2 + D + 5, h, w) in the type of the features: those of the first
            and of the second frame, correlation, carried, flow, t.
        """

    def decode_outputs(self, outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
        """Compute fields from the outputs of the finest decoder.

        Args:
            outputs: changes of the flows, differences of the four kernels from a delta, log odds of
                the first frame and residual, (N, 4 + 4K + 4, h, w), float32 or bfloat16.
            flow: already changed (`update_flow`), (N, 4, h, w) float32.
            t: (N, 1, 1, 1).
            normalise: divide kernels by their sums.

        Returns:
            Fields (N, 4 + 4K + 4, h, w), float32.
        """

    def alignment(self, first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
        """Measure how well the flows align both frames.

        Args:
            first, second: frames at the size of the fields, (N, 3, h, w) in [0, 1], float32.
            fields: (N, 4 + 4K + 4, h, w).

        Returns:
            (N, 3, h, w), absolute differences from 0 to 1 in brightness, averaged over squares of
            `AREA` values, values outside omitted: the inconsistency, which is the difference of
            both frames along the flows where the mask prefers neither; that difference everywhere;
            and the difference at the same position, as if nothing moved.
        """

    def synthesise(
        self,
        first: Tensor,
        second: Tensor,
        fields: Tensor,
        factor: int,
        rows: slice,
        columns: slice,
        deviation: Tensor,
        *,
        resampling: Resampling = "linear",
    ) -> Tensor:
        """Render a rectangle of the interpolated frame.

        Fields are upsampled bilinearly (corners not aligned), both frames are sampled along their
        flows and filtered with their kernels (`flow_separable_convolution`), blended by the mask,
        and the residual is added to their colours.

        Args:
            first, second: frames (N, C, A, B), float32; C is 3, or 4 with alpha, which gets no
                residual.
            fields: (N, 4 + 4K + 4, h, w), float32, `factor` times smaller than the frames.
            factor: a whole number; `h * factor` and `w * factor` are at least the frames' size.
            rows, columns: the rectangle, in pixels of the frames.
            deviation: factor of the residual, (N, 1, 1, 1).
            resampling: how the frames are interpolated between pixels.

        Returns:
            (N, C, rows, columns), not clipped.
        """
