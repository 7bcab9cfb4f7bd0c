"""`Objects`: many objects of many images as arrays, the form in which they are compared fast.

Legend: N objects, S spans (stretches of ones of a run-length mask, down the columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.core.mask_lists import bounds_of_spans
from maskwright.core.object_arrays import ObjectArrays
from maskwright.core.parts import Instance
from maskwright.core.segmentation import Segmentation

_NO_MASK = Mask(size=(0, 0), packed=b"")


@dataclass(frozen=True, kw_only=True, eq=False)
class Spans:
    """The masks of N objects: where their stretches of ones begin and end.

    Attributes:
        edges: int32 [S, 2] (int64 for images of 2^31 pixels), first position of each span, and one
            behind its last, down the columns of each mask's own image.
        first: int64 [N + 1]: mask i owns the spans first[i] to first[i + 1].
        size: int64 [N, 2], height and width; 0, 0 where an object has no mask.
    """

    edges: np.ndarray
    first: np.ndarray
    size: np.ndarray

    @classmethod
    def of_masks(cls, masks: Sequence[Mask | None]) -> Spans:
        """The spans of masks; None stands for no mask."""
        all_masks = [mask or _NO_MASK for mask in masks]
        packed = [mask.packed for mask in all_masks]
        sizes = chain.from_iterable([mask.size for mask in all_masks])
        # A run of zeros at the end tells nothing more: without it all come in pairs.
        packed = [runs[:-4] if len(runs) & 4 else runs for runs in packed]
        first = _offsets(np.fromiter(map(len, packed), np.int64, len(packed)) >> 3)
        size = np.fromiter(sizes, np.int64, 2 * len(packed))
        return cls.of_pairs(np.frombuffer(b"".join(packed), "<u4"), first, size.reshape(-1, 2))

    @classmethod
    def of_object_arrays(cls, parts: Sequence[ObjectArrays]) -> Spans:
        """The spans of the masks of some images, one after the other."""
        runs = np.concatenate([part.runs for part in parts])
        counts = np.concatenate([np.diff(part.first) for part in parts])
        ends = np.cumsum(counts)
        kept = np.ones(len(runs), bool)
        kept[ends[counts & 1 == 1] - 1] = False  # as in `of_masks`
        size = np.repeat([part.size for part in parts], [len(part) for part in parts], axis=0)
        return cls.of_pairs(runs[kept], _offsets(counts >> 1), size)

    @classmethod
    def of_pairs(cls, pairs: np.ndarray, first: np.ndarray, size: np.ndarray) -> Spans:
        """From run lengths in pairs (zeros, ones), all masks one after the other.

        Args:
            pairs: whole numbers [2 S].
            first: int64 [N + 1]: mask i owns the pairs first[i] to first[i + 1].
            size: int64 [N, 2].
        """
        small = int(np.prod(size, axis=1).max(initial=0)) < 2**31
        # The sum over all masks may run over, but not the differences within one.
        ends: np.ndarray = np.cumsum(pairs, dtype=np.uint32 if small else np.uint64)
        if len(ends):
            before = np.where(first[:-1] > 0, ends[2 * first[:-1] - 1], 0).astype(ends.dtype)
            ends -= np.repeat(before, 2 * np.diff(first))
        edges = ends.reshape(-1, 2)
        return cls(edges=edges.view(np.int32 if small else np.int64), first=first, size=size)

    @property
    def counts(self) -> np.ndarray:
        """int64 [N], spans of each mask."""
        return np.diff(self.first)

    def lengths(self) -> np.ndarray:
        """Of each span, [S] like `edges`."""
        return self.edges[:, 1] - self.edges[:, 0]

    def areas(self) -> np.ndarray:
        """int64 [N], pixels of each mask."""
        return reduce_segments(np.add, self.lengths(), self.first, 0).astype(np.int64)

    def boxes(self) -> np.ndarray:
        """float64 [N, 4]: left, top, right, bottom as pixel edges; 0 for an empty mask."""
        boxes = np.zeros((len(self.size), 4))
        filled = np.flatnonzero(self.counts)
        if len(filled):
            first = np.append(self.first[filled], len(self.edges))
            boxes[filled] = bounds_of_spans(self.edges, first, self.size[filled, 0])
        return boxes

    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [N] twice: where each mask's first span begins and its last one ends; 0: empty."""
        begin, end = np.zeros((2, len(self.size)), np.int64)
        filled = np.flatnonzero(self.counts)
        begin[filled] = self.edges[self.first[filled], 0]
        end[filled] = self.edges[self.first[filled + 1] - 1, 1]
        return begin, end

    def mask(self, index: int) -> Mask:
        """One of them as a `Mask`."""
        own = slice(int(self.first[index]), int(self.first[index + 1]))
        height, width = (int(side) for side in self.size[index])
        toggles = self.edges[own].reshape(-1).astype(np.int64)
        return Mask.from_runs(np.diff(toggles, prepend=0, append=height * width), (height, width))


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """N objects of any images, in the order in which they were given.

    Attributes:
        image: int64 [N], the number of each one's image.
        class_id: int64 [N].
        box_xywh: float64 [N, 4]: left, top, width, height, as COCO files have them.
        score: float64 [N]; 1 where none is told, as in truth.
        crowd: bool [N]: a group that was not told apart, or "difficult".
        area: float64 [N], by which truth is sorted into sizes; NaN: the mask's, or the box's.
        spans: the masks; None where there are none.
    """

    image: np.ndarray
    class_id: np.ndarray
    box_xywh: np.ndarray
    score: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    spans: Spans | None = None

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(
        cls,
        images: Sequence[tuple[int, Segmentation]],
        areas: Sequence[float] | None = None,
        *,
        masks: bool = True,
    ) -> Objects:
        """The instances of some images.

        Args:
            images: the number of each image, and what is in it.
            areas: of each instance, where a file tells them (COCO's "area" of truth).
            masks: whether to take their masks along.

        Raises:
            DataError: an image whose instances are not known, a score or a box that is no number,
                or areas that don't fit.
        """
        parts: list[Sequence[Instance]] = []
        for number, content in images:
            if content.instances is None:
                raise DataError(
                    f"image {number} tells no instances (None); expected a tuple, empty where "
                    "there are none."
                )
            parts.append(content.instances)
        counts = [len(part) for part in parts]
        image = np.repeat(np.array([number for number, _ in images], np.int64), counts)
        filled = [part for part in parts if len(part)]
        arrays = [part for part in filled if isinstance(part, ObjectArrays)]
        if arrays and len(arrays) == len(filled):
            return cls._of_object_arrays(image, arrays, areas, masks)
        found = list(chain.from_iterable(parts))
        count = len(found)
        own = [one.mask for one in found] if masks else []
        corners = chain.from_iterable([one.box_xyxy for one in found])
        boxes = np.fromiter(corners, np.float64).reshape(count, 4)
        boxes[:, 2:] -= boxes[:, :2]
        scores = [one.score for one in found]
        if None in scores:
            scores = [1.0 if score is None else score for score in scores]
        return cls.of_arrays(
            image=image,
            class_id=np.fromiter([one.class_id for one in found], np.int64, count),
            box_xywh=boxes,
            score=np.fromiter(scores, np.float64, count),
            crowd=np.fromiter([one.crowd for one in found], bool, count),
            area=areas,
            spans=Spans.of_masks(own) if any(own) else None,
        )

    @classmethod
    def _of_object_arrays(
        cls,
        image: np.ndarray,
        parts: Sequence[ObjectArrays],
        areas: Sequence[float] | None,
        masks: bool,
    ) -> Objects:
        """The same of images whose objects are arrays already."""
        spans = Spans.of_object_arrays(parts) if masks else None
        if spans is None or any(part.told_boxes is not None for part in parts):
            boxes = np.concatenate([part.boxes for part in parts])
        else:
            boxes = spans.boxes()
        return cls.of_arrays(
            image=image,
            class_id=np.concatenate([part.class_id for part in parts]),
            box_xywh=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
            score=np.concatenate([part.score for part in parts]),
            area=areas,
            spans=spans,
        )

    @classmethod
    def of_arrays(
        cls,
        *,
        image: np.ndarray,
        class_id: np.ndarray,
        box_xywh: np.ndarray,
        score: np.ndarray | None = None,
        crowd: np.ndarray | None = None,
        area: np.ndarray | Sequence[float] | None = None,
        spans: Spans | None = None,
    ) -> Objects:
        """From arrays of one length, checked and brought to their types.

        Raises:
            DataError: lengths that differ, or numbers that are not finite.
        """
        count = len(image)
        made = cls(
            image=np.asarray(image, np.int64),
            class_id=np.asarray(class_id, np.int64),
            box_xywh=np.asarray(box_xywh, np.float64).reshape(-1, 4),
            score=np.ones(count) if score is None else np.asarray(score, np.float64),
            crowd=np.zeros(count, bool) if crowd is None else np.asarray(crowd, bool),
            area=np.full(count, np.nan) if area is None else np.asarray(area, np.float64),
            spans=spans,
        )
        made._check()
        return made

    def _check(self) -> None:
        columns = ("image", "class_id", "box_xywh", "score", "crowd", "area")
        lengths = {name: len(getattr(self, name)) for name in columns}
        if self.spans is not None:
            lengths["spans"] = len(self.spans.size)
        if len(set(lengths.values())) > 1:
            raise DataError(f"expected columns of one length, got {lengths}.")
        for name, values in (("score", self.score[:, None]), ("box", self.box_xywh)):
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if len(bad):
                raise DataError(
                    f"expected a {name} of finite numbers, got {values[bad[0]].tolist()} for "
                    f"object {bad[0]}, in image {self.image[bad[0]]}; leave it out or mend it."
                )

    def measured(self) -> dict[str, np.ndarray]:
        """The areas float64 [N] of the "boxes" and, where there are masks, of the "masks"."""
        areas = {"boxes": self.box_xywh[:, 2] * self.box_xywh[:, 3]}
        if self.spans is not None:
            masks, has_mask = self.spans.areas().astype(np.float64), self.spans.size[:, 0] > 0
            areas["masks"] = np.where(has_mask, masks, areas["boxes"])
        elif not len(self):
            areas["masks"] = areas["boxes"]
        return areas


def reduce_segments(
    operation: np.ufunc, values: np.ndarray, first: np.ndarray, empty: int
) -> np.ndarray:
    """`operation` over values[first[i] : first[i + 1]] for each i; `empty` where there are none."""
    result = np.full(len(first) - 1, empty, values.dtype)
    filled = np.flatnonzero(np.diff(first))
    if len(filled):
        result[filled] = operation.reduceat(values, first[filled])
    return result


def ragged(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The indices first[i] .. first[i] + counts[i] - 1 of all i, one after the other."""
    offsets = _offsets(counts)
    return np.repeat(first - offsets[:-1], counts) + np.arange(offsets[-1])


def _offsets(counts: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
