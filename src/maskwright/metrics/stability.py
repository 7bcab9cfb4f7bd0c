"""Stability: the share of pixels whose class flips when next to nothing has changed.

A score on single images says nothing about a model that flickers. Three ways to look, none of
which needs truth:

* **Shifts** (A. Azulay, Y. Weiss, "Why do deep convolutional networks generalize so poorly to small
  image transformations?", JMLR 2019; R. Zhang, "Making Convolutional Networks Shift-Invariant
  Again", ICML 2019): the image moves by a pixel in each direction, the class map is moved back, and
  the two are compared where they overlap.
* **Noise**: Gaussian noise of some grey levels, as a sensor has it.
* **Frames**: two consecutive frames of a video. With optical flow the earlier map is first carried
  along (Y. Liu et al., "Efficient Semantic Video Segmentation with Per-frame Inference", ECCV 2020,
  section 4), and what is left is flicker. Without flow, true motion is counted as well: the share
  compares models on the same clip, and is flicker alone only where neither camera nor scene moves.

The policies:

* 0 is best. A constant model is perfectly stable: read it beside the scores, never alone.
* Every pixel counts, whatever its class; void ids are compared like any other id. Thin classes are
  few pixels and weigh little.
* Shares are of the flipped and the compared pixels summed over all images and frames.

Legend: H W height and width; images are uint8 RGB 0..255 [H, W, 3], class maps integer [H, W].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.metrics.accumulator import Accumulator
from maskwright.metrics.overlap import none_for_nan

Predict = Callable[[np.ndarray], np.ndarray]
"""Image uint8 RGB [H, W, 3] -> class map, integer [H, W]."""

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frame, the one before it -> float32 [H, W, 2]: where (dx, dy) each pixel was in the earlier."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """How many pixels changed their class, of how many that were compared; they add up.

    Attributes:
        flipped: pixels.
        compared: pixels.
    """

    flipped: int
    compared: int

    @property
    def share(self) -> float:
        """0..1; NaN where nothing was compared."""
        return self.flipped / self.compared if self.compared else math.nan

    def __add__(self, other: Flips) -> Flips:
        return Flips(flipped=self.flipped + other.flipped, compared=self.compared + other.compared)

    def __radd__(self, other: int) -> Flips:
        return self if other == 0 else NotImplemented  # where `sum` starts


@dataclass(frozen=True, kw_only=True)
class StabilityScores:
    """Shares of flipped pixels, 0..1, 0 is best; NaN where nothing was compared.

    Attributes:
        shift: under one-pixel shifts.
        noise: under mild noise.
        frames: between consecutive frames.
    """

    shift: float
    noise: float
    frames: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN becomes None."""
        return {name: none_for_nan(getattr(self, name)) for name in ("shift", "noise", "frames")}


def shift_flips(
    predict: Predict,
    image_HW3: np.ndarray,
    *,
    directions: Literal[4, 8] = 8,
    pixels: int = 1,
    before_HW: np.ndarray | None = None,
) -> Flips:
    """Flips under shifts of the image, summed over the directions.

    The size stays, so that the model resizes as it always does; the row or column that comes in is
    a copy of the border and isn't compared.

    Args:
        predict: the model.
        image_HW3: uint8 RGB.
        directions: 4, or 8 with the diagonals.
        pixels: how far.
        before_HW: the image's class map, if it is already known.

    Raises:
        ConfigError: other directions, or no shift that leaves an overlap.
        DataError: the class map has another size than the image.
    """
    height, width = image_HW3.shape[:2]
    if directions not in (4, 8) or not 0 < pixels < min(height, width):
        raise ConfigError(
            f"expected 4 or 8 directions and a shift of 1 to {min(height, width) - 1} pixels for "
            f"an image of {height}x{width}, got {directions} and {pixels}."
        )
    before = _predicted(predict, image_HW3) if before_HW is None else before_HW
    total = Flips(flipped=0, compared=0)
    padded = np.pad(image_HW3, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    for sy, sx in product((-1, 0, 1), repeat=2):
        if (sy, sx) == (0, 0) or (directions == 4 and sy and sx):
            continue
        dy, dx = sy * pixels, sx * pixels
        moved = padded[pixels - dy : pixels - dy + height, pixels - dx : pixels - dx + width]
        after = _predicted(predict, np.ascontiguousarray(moved))
        kept, undone = (
            ids[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
            for ids, y, x in ((before, -dy, -dx), (after, dy, dx))
        )
        total += _compare(kept, undone)
    return total


def noise_flips(
    predict: Predict,
    image_HW3: np.ndarray,
    *,
    sigma: float = 2.0,
    draws: int = 1,
    seed: int = 0,
    before_HW: np.ndarray | None = None,
) -> Flips:
    """Flips under Gaussian noise, independent in every pixel and channel.

    Args:
        predict: the model.
        image_HW3: uint8 RGB.
        sigma: standard deviation in grey levels of 0..255; the sum is rounded and clipped.
        draws: how often noise is drawn; the flips are summed.
        seed: of the drawing: the same seed, the same noise.
        before_HW: the image's class map, if it is already known.

    Raises:
        ConfigError: a negative sigma or no draws.
        DataError: the class map has another size than the image.
    """
    if not 0 <= sigma < math.inf or draws < 1:
        raise ConfigError(
            f"expected a sigma of 0 grey levels or more and one draw or more, got {sigma} and "
            f"{draws}."
        )
    before = _predicted(predict, image_HW3) if before_HW is None else before_HW
    rng = np.random.default_rng(seed)
    total = Flips(flipped=0, compared=0)
    for _ in range(draws):
        noise = rng.normal(0, sigma, image_HW3.shape)
        noisy = np.clip(np.rint(image_HW3 + noise), 0, 255).astype(np.uint8)
        total += _compare(before, _predicted(predict, noisy))
    return total


def frame_flips(predict: Predict, frames: Iterable[np.ndarray], flow: Flow | None = None) -> Flips:
    """Flips between each frame of a clip and the one before it; each is predicted once.

    Args:
        predict: the model.
        frames: uint8 RGB, of one size, in their order.
        flow: tells where each pixel of a frame was in the one before; the earlier map is then
            carried along, by nearest neighbour, and what came from outside, or where the flow is
            NaN (hidden before, say), isn't compared. None compares in place.

    Raises:
        DataError: frames, class maps or flow differ in size.
    """
    total = Flips(flipped=0, compared=0)
    earlier: tuple[np.ndarray, np.ndarray] | None = None
    for frame in frames:
        after = _predicted(predict, frame)
        if earlier is not None:
            moves = None if flow is None else flow(frame, earlier[0])
            total += map_flips(earlier[1], after, moves)
        earlier = frame, after
    return total


def map_flips(
    before_HW: np.ndarray, after_HW: np.ndarray, flow_HW2: np.ndarray | None = None
) -> Flips:
    """Flips between the class maps of two consecutive frames.

    Args:
        before_HW: of the earlier frame.
        after_HW: of the later one.
        flow_HW2: where (dx, dy) each pixel of the later frame was in the earlier, in pixels; NaN
            where it wasn't to be seen. None: in place.

    Raises:
        DataError: sizes that differ.
    """
    if flow_HW2 is None:
        return _compare(before_HW, after_HW)
    height, width = after_HW.shape
    if flow_HW2.shape != (height, width, 2):
        raise DataError(
            f"expected a flow [{height}, {width}, 2] of (dx, dy), got {list(flow_HW2.shape)}."
        )
    _check_sizes(before_HW, after_HW)
    y, x = np.mgrid[:height, :width]
    from_x, from_y = (np.rint(at + flow_HW2[..., i]) for i, at in enumerate((x, y)))
    seen = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    carried = before_HW[from_y[seen].astype(np.intp), from_x[seen].astype(np.intp)]
    return _compare(carried, after_HW[seen])


class Stability(Accumulator):
    """Adds up images and clips; a thin layer over `shift_flips`, `noise_flips`, `frame_flips`.

    Args:
        directions: 4 or 8.
        sigma: of the noise in grey levels.
        seed: of the noise; every image gets the same draw.

    Attributes:
        counts: int64 [3, 2]: flipped and compared pixels under shifts, noise, between frames.
    """

    def __init__(self, *, directions: Literal[4, 8] = 8, sigma: float = 2.0, seed: int = 0) -> None:
        super().__init__(np.zeros((3, 2), np.int64))
        self.directions = directions
        self.sigma = sigma
        self.seed = seed

    def update(self, predict: Predict, image_HW3: np.ndarray) -> None:
        """Add one image: its shifts and its noise."""
        before = _predicted(predict, image_HW3)
        found = (
            shift_flips(predict, image_HW3, directions=self.directions, before_HW=before),
            noise_flips(predict, image_HW3, sigma=self.sigma, seed=self.seed, before_HW=before),
        )
        self.counts[:2] += [[each.flipped, each.compared] for each in found]

    def update_clip(
        self, predict: Predict, frames: Iterable[np.ndarray], flow: Flow | None = None
    ) -> None:
        """Add the consecutive frames of one clip."""
        found = frame_flips(predict, frames, flow)
        self.counts[2] += [found.flipped, found.compared]

    def scores(self) -> StabilityScores:
        """Shares so far."""
        shift, noise, frames = (
            Flips(flipped=flipped, compared=compared).share
            for flipped, compared in self.counts.tolist()
        )
        return StabilityScores(shift=shift, noise=noise, frames=frames)


def _predicted(predict: Predict, image_HW3: np.ndarray) -> np.ndarray:
    ids = predict(image_HW3)
    if ids.shape != image_HW3.shape[:2]:
        raise DataError(
            f"expected a class map of the image's size {list(image_HW3.shape[:2])}, got "
            f"{list(ids.shape)}."
        )
    return ids.copy()  # a model may write each map into the same array


def _compare(before: np.ndarray, after: np.ndarray) -> Flips:
    _check_sizes(before, after)
    return Flips(flipped=int(np.count_nonzero(before != after)), compared=before.size)


def _check_sizes(before: np.ndarray, after: np.ndarray) -> None:
    if before.shape != after.shape:
        raise DataError(
            f"expected class maps of one size, got {list(before.shape)} and {list(after.shape)}."
        )
