"""Examples made of several: mosaics of four, and objects pasted from one image into another.

What was made of each whole image for a loss is no longer true of a mixture: `made` comes out empty,
to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from maskwright.data.augment import Augmentation, Frame, augment
from maskwright.data.example import Example
from maskwright.data.geometry import box_of

PARTS = 4
"""Images of a mosaic."""


def augment_mixed(
    read: Callable[[int], Example],
    index: int,
    count: int,
    frame: Frame,
    settings: Augmentation,
    rng: np.random.Generator,
) -> Example:
    """One variant of an example; with the settings' probabilities, mixed with others.

    Args:
        read: number -> example.
        index: number of the one that was drawn.
        count: of all there are.
        frame: what is cut from and to.
        settings: how far it is changed.
        rng: all that is random.
    """
    if settings.mosaic and rng.random() < settings.mosaic:
        others = rng.integers(0, count, PARTS - 1).tolist()
        found = mosaic([read(number) for number in (index, *others)], frame, settings, rng)
    else:
        found = augment(read(index), frame, settings, rng)
    if settings.copy_paste and rng.random() < settings.copy_paste:
        source = augment(read(int(rng.integers(0, count))), frame, settings, rng)
        found = paste(found, source, rng)
    return found


def mosaic(
    examples: Sequence[Example], frame: Frame, settings: Augmentation, rng: np.random.Generator
) -> Example:
    """Four examples, each changed on its own, around a point near the middle.

    Bochkovskiy, Wang, Liao: YOLOv4, 2020, arXiv 2004.10934, section 3.3. An example that isn't
    labelled for the same tasks as the first is left out, and the first stands there again: else
    what is unlabelled in one would be taken for empty.

    Args:
        examples: four.
        frame: of the whole.
        settings: of each part.
        rng: all that is random.
    """
    height, width = frame.cut
    middle_y, middle_x = (int(rng.uniform(0.3, 0.7) * side) for side in (height, width))
    first = examples[0]
    whole: Example | None = None
    for number, example in enumerate(examples):
        top, left = (number // 2) * middle_y, (number % 2) * middle_x
        size = (
            height - middle_y if number // 2 else middle_y,
            width - middle_x if number % 2 else middle_x,
        )
        part = augment(
            example if _labelled_alike(example, first) else first,
            replace(frame, crop=(max(1, size[0]), max(1, size[1]))),
            settings,
            rng,
        )
        padded = _pad(part, (top, left), (height, width))
        whole = padded if whole is None else _joined(whole, padded, (top, left), part.size)
    assert whole is not None  # four parts
    return whole


def paste(target: Example, source: Example, rng: np.random.Generator) -> Example:
    """Paste a random half of the source's objects over the target, by their masks.

    Ghiasi et al.: Simple Copy-Paste, CVPR 2021, section 3. What they hide is taken from the
    target's masks; an object that is hidden whole goes. Objects need masks, and the target must be
    labelled for objects: otherwise it is given back as it is.

    Args:
        target: of one size with the source.
        source: whose objects are pasted; crowds are not.
        rng: all that is random.
    """
    chosen = source.has_mask & ~source.crowds & (rng.random(len(source.boxes)) < 0.5)
    if not target.has_boxes or target.masks is None or not chosen.any():
        return target
    pasted = source.keep(chosen)
    new = [mask for mask in pasted.masks or () if mask is not None]
    covered = np.maximum.reduce(new).astype(bool)
    image = np.where(covered[..., None], source.image, target.image)
    class_map = target.class_map
    if class_map is not None:
        class_map = class_map.copy()
        for mask, class_id in zip(new, pasted.class_ids):
            class_map[mask.astype(bool)] = class_id
    left = [None if mask is None else mask * ~covered for mask in target.masks]
    boxes = target.boxes.copy()
    for number, (mask, before) in enumerate(zip(left, target.masks)):
        if mask is not None and before is not None and (mask != before).any():
            boxes[number] = box_of(mask)
    kept = replace(target, boxes=boxes, masks=tuple(left)).keep(
        np.array([mask is None or mask.any() for mask in left], bool)
    )
    return replace(
        kept,
        image=image,
        class_map=class_map,
        boxes=np.concatenate([kept.boxes, pasted.boxes]),
        class_ids=np.concatenate([kept.class_ids, pasted.class_ids]),
        crowds=np.concatenate([kept.crowds, pasted.crowds]),
        masks=(*(kept.masks or ()), *new),
        made={},
    )


def _labelled_alike(one: Example, other: Example) -> bool:
    return (
        (one.class_map is None) == (other.class_map is None)
        and one.has_boxes == other.has_boxes
        and (one.masks is None) == (other.masks is None)
        and (one.labels is None) == (other.labels is None)
        and one.image.shape[2:] == other.image.shape[2:]
    )


def _pad(example: Example, place: tuple[int, int], size: tuple[int, int]) -> Example:
    """The example at its place in a larger, empty one."""
    top, left = place

    def padded(pixels: np.ndarray, fill: int) -> np.ndarray:
        whole = np.full((*size, *pixels.shape[2:]), fill, pixels.dtype)
        whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return whole

    return replace(
        example,
        image=padded(example.image, 0),
        class_map=None if example.class_map is None else padded(example.class_map, example.void),
        boxes=example.boxes + np.array([left, top, left, top], np.float32),
        masks=None
        if example.masks is None
        else tuple(None if mask is None else padded(mask, 0) for mask in example.masks),
        made={},
    )


def _joined(
    whole: Example, part: Example, place: tuple[int, int], size: tuple[int, int]
) -> Example:
    """Two padded examples of one size, the second only in its own place."""
    rows, columns = slice(place[0], place[0] + size[0]), slice(place[1], place[1] + size[1])
    image = whole.image.copy()
    image[rows, columns] = part.image[rows, columns]
    class_map = whole.class_map
    if class_map is not None and part.class_map is not None:
        class_map = class_map.copy()
        class_map[rows, columns] = part.class_map[rows, columns]
    labels = whole.labels
    if labels is not None and part.labels is not None:
        labels = np.maximum(labels, part.labels)
    return replace(
        whole,
        image=image,
        class_map=class_map,
        labels=labels,
        boxes=np.concatenate([whole.boxes, part.boxes]),
        class_ids=np.concatenate([whole.class_ids, part.class_ids]),
        crowds=np.concatenate([whole.crowds, part.crowds]),
        masks=None if whole.masks is None else (*whole.masks, *(part.masks or ())),
    )
