"""What losses and networks want made of the truth: distance maps, boundary bands, points.

A loss names a `Need`; the loader makes it, and `Targets.made` holds it. What costs much is made
once a sample ("sample"), kept with it, and scaled, cropped and mirrored with its image. The rest is
made of each crop ("crop"), and so is exact there.

Legend: K classes, N objects, H W of the image or crop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.settings import nearest
from maskwright.data.example import Example
from maskwright.losses.targets import Need


@dataclass(frozen=True, kw_only=True)
class Derived:
    """One kind of thing that can be made of the truth.

    Attributes:
        make: (example, classes, settings) -> an array.
        when: "sample": once, and moved with the image, for maps of distances in pixels [.., H, W],
            which grow as the image does; "crop": of each crop.
        stacks: whether all images' arrays have one shape, so that a batch is one tensor.
    """

    make: Callable[..., np.ndarray]
    when: Literal["sample", "crop"]
    stacks: bool = True


def signed_distance(example: Example, classes: int) -> np.ndarray:
    """Distance of each pixel's middle to the edge of each class, float32 [K, H, W] in pixels.

    Euclidean and exact; negative inside, +-0.5 along the edge. Kervadec et al.: Boundary loss for
    highly unbalanced segmentation, MIDL 2019, section 2. Void pixels belong to no class. Of a
    class that isn't there, and where there is no class map, it is 0.
    """
    maps = np.zeros((classes, *example.size), np.float32)
    if example.class_map is None:
        return maps
    for class_id in range(classes):
        inside = example.class_map == class_id
        if inside.any() and not inside.all():
            within, without = _to_the_other_side(inside), _to_the_other_side(~inside)
            maps[class_id] = np.where(inside, 0.5 - within, without - 0.5)
    return maps


def boundary_band(example: Example, classes: int, width: float = 2.0) -> np.ndarray:
    """Pixels nearer than `width` to one of another class, middle to middle; uint8 {0, 1} [H, W].

    Void pixels are in no band and make none.
    """
    del classes
    band = np.zeros(example.size, np.uint8)
    if example.class_map is None:
        return band
    known = example.class_map != example.void
    for class_id in np.unique(example.class_map[known]):
        inside = (example.class_map == class_id) | ~known
        if not inside.all():
            band |= (_to_the_other_side(inside) < width) & (example.class_map == class_id)
    return band


def extreme_points(example: Example, classes: int) -> np.ndarray:
    """The left-most, top-most, right-most and bottom-most pixel of each object's mask.

    Papadopoulos et al.: Extreme clicking for efficient object annotation, ICCV 2017. Of several
    such pixels the middle one of the first run counts.

    Returns:
        float32 [N, 4, 2], x y of pixels' middles; NaN of an object without a mask.
    """
    del classes
    points = np.full((len(example.boxes), 4, 2), np.nan, np.float32)
    for number, mask in enumerate(example.masks or ()):
        if mask is not None and mask.any():
            points[number] = _extremes(mask)
    return points


DERIVED: dict[str, Derived] = {
    "signed-distance": Derived(make=signed_distance, when="sample"),
    "boundary-band": Derived(make=boundary_band, when="crop"),
    "extreme-points": Derived(make=extreme_points, when="crop", stacks=False),
}
"""Everything that can be needed, by name."""


def check_needs(needs: Iterable[Need]) -> tuple[Need, ...]:
    """The needs in a fixed order.

    Raises:
        ConfigError: one that can't be made.
    """
    found = sorted(set(needs), key=lambda need: (need.name, need.parameters))
    for need in found:
        if need.name not in DERIVED:
            raise ConfigError(
                f"a loss or network needs {need.name!r} of the truth, which nothing makes; "
                f"{nearest(need.name, DERIVED)}"
            )
    return tuple(found)


def make_needs(
    example: Example, needs: Iterable[Need], classes: int, when: Literal["sample", "crop"]
) -> Example:
    """The example with what is needed and made at that time, unless it has it already.

    Args:
        example: whole (for "sample"), or augmented (for "crop").
        needs: that `check_needs` has seen.
        classes: K.
        when: which of them.
    """
    made = dict(example.made)
    for need in needs:
        derived = DERIVED[need.name]
        if derived.when == when and need not in made:
            settings: dict[str, Any] = dict(need.parameters)
            made[need] = derived.make(example, classes, **settings)
    return replace(example, made=made)


def _to_the_other_side(inside: np.ndarray) -> np.ndarray:
    """Distance of each inner pixel to the nearest outer one, middle to middle; 0 outside."""
    return cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _extremes(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]

    def middle(line: np.ndarray) -> float:
        """Of the first run of pixels that are set."""
        first = int(np.argmax(line != 0))
        beyond = np.flatnonzero(line[first:] == 0)
        last = first + int(beyond[0]) - 1 if len(beyond) else len(line) - 1
        return (first + last) / 2

    return np.array(
        [
            (left, middle(mask[:, left])),
            (middle(mask[top]), top),
            (right, middle(mask[:, right])),
            (middle(mask[bottom]), bottom),
        ],
        np.float32,
    ) + np.float32(0.5)
