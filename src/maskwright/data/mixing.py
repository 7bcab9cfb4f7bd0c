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
    around: int | None = None,
) -> Example:
    """One variant of an example; with the settings' probabilities, mixed with others.

    Args:
        read: number -> example.
        index: number of the one that was drawn.
        count: of all there are.
        frame: what is cut from and to.
        settings: how far it is changed.
        rng: all that is random.
        around: a class that the crop shows, where it isn't a mosaic's.
    """
    if settings.mosaic and rng.random() < settings.mosaic:
        others = rng.integers(0, count, PARTS - 1).tolist()
        found = mosaic([read(number) for number in (index, *others)], frame, settings, rng)
    else:
        found = augment(read(index), frame, settings, rng, around)
    if settings.copy_paste and rng.random() < settings.copy_paste:
        source = read(int(rng.integers(0, count)))
        source = augment(replace(source, made={}), frame, settings, rng)
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
    parts, places = [], []
    for number, example in enumerate(examples):
        top, part_height = ((0, middle_y), (middle_y, height - middle_y))[number // 2]
        left, part_width = ((0, middle_x), (middle_x, width - middle_x))[number % 2]
        if not part_height or not part_width:  # of an image a few pixels wide
            continue
        used = replace(example if _labelled_alike(example, first) else first, made={})
        part = replace(frame, crop=(part_height, part_width))
        parts.append(augment(used, part, settings, rng))
        places.append((top, left))
    return _assembled(parts, places, frame.cut)


def paste(target: Example, source: Example, rng: np.random.Generator) -> Example:
    """Paste a random half of the source's objects over the target, by their masks.

    Ghiasi et al.: Simple Copy-Paste, CVPR 2021, section 3. What they hide is taken from the
    target's masks; an object that is hidden whole goes. Objects need masks, and the target must be
    labelled for masks: otherwise it is given back as it is. A class of the source image as a whole
    comes with its objects.

    Args:
        target: of one size with the source.
        source: whose objects are pasted; crowds are not.
        rng: all that is random.
    """
    chosen = source.has_mask & ~source.crowds & (rng.random(len(source.boxes)) < 0.5)
    if target.masks is None or not chosen.any():
        return target
    pasted = source.keep(chosen)
    new = [mask for mask in pasted.masks or () if mask is not None]
    covered = np.maximum.reduce(new).astype(bool)
    class_map = None if target.class_map is None else target.class_map.copy()
    for mask, class_id in zip(new, pasted.class_ids):
        if class_map is not None:
            class_map[mask.astype(bool)] = class_id
    kept = _uncovered(target, covered)
    return replace(
        kept,
        image=np.where(covered[..., None], source.image, target.image),
        class_map=class_map,
        boxes=np.concatenate([kept.boxes, pasted.boxes]),
        class_ids=np.concatenate([kept.class_ids, pasted.class_ids]),
        crowds=np.concatenate([kept.crowds, pasted.crowds]),
        masks=(*(kept.masks or ()), *new),
        labels=_labels_with(target, pasted),
        made={},
    )


def _uncovered(example: Example, covered: np.ndarray) -> Example:
    """The example with what is left of its objects where other pixels, bool [H, W], cover it."""
    boxes, seen = example.boxes.copy(), np.ones(len(example.boxes), bool)
    left = example.map_masks(lambda mask: mask * ~covered)
    for number, (mask, before) in enumerate(zip(left or (), example.masks or ())):
        if mask is None or before is None:
            x1, y1, x2, y2 = boxes[number]
            within = covered[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
            seen[number] = not within.all()
        elif (mask != before).any():
            boxes[number], seen[number] = box_of(mask), mask.any()
    return replace(example, boxes=boxes, masks=left).keep(seen)


def _labels_with(target: Example, pasted: Example) -> np.ndarray | None:
    if target.labels is None or pasted.labels is None:
        return target.labels
    labels, ids = target.labels.copy(), pasted.class_ids
    labels[ids] = np.maximum(labels[ids], pasted.labels[ids])
    return labels


def _labelled_alike(one: Example, other: Example) -> bool:
    return (
        (one.class_map is None) == (other.class_map is None)
        and one.objects_known == other.objects_known
        and (one.masks is None) == (other.masks is None)
        and (one.labels is None) == (other.labels is None)
        and one.image.shape[2:] == other.image.shape[2:]
    )


def _assembled(
    parts: Sequence[Example], places: Sequence[tuple[int, int]], size: tuple[int, int]
) -> Example:
    """Examples that are labelled alike, each at its (top, left); together they fill the whole."""
    first = parts[0]
    image = np.empty((*size, *first.image.shape[2:]), first.image.dtype)
    class_map = None
    if first.class_map is not None:
        class_map = np.full(size, first.void, first.class_map.dtype)
    masks: list[np.ndarray | None] = []
    for part, (top, left) in zip(parts, places):
        here = slice(top, top + part.size[0]), slice(left, left + part.size[1])
        image[here] = part.image
        if class_map is not None:
            class_map[here] = part.class_map
        masks += [None if mask is None else _at(here, mask, size) for mask in part.masks or ()]
    shifts = [np.array([left, top] * 2, np.float32) for top, left in places]
    return replace(
        first,
        image=image,
        class_map=class_map,
        boxes=np.concatenate([part.boxes + by for part, by in zip(parts, shifts)]),
        class_ids=np.concatenate([part.class_ids for part in parts]),
        crowds=np.concatenate([part.crowds for part in parts]),
        masks=None if first.masks is None else tuple(masks),
        labels=None
        if first.labels is None
        else np.maximum.reduce([part.labels for part in parts if part.labels is not None]),
    )


def _at(here: tuple[slice, slice], mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(size, mask.dtype)
    whole[here] = mask
    return whole
