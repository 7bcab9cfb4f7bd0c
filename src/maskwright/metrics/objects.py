"""`Objects`: many objects of many images as arrays, the form in which they are compared fast.

Legend: N objects, S spans (stretches of ones of a run-length mask, down the columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.core.parts import Instance
from maskwright.core.segmentation import Segmentation


@dataclass(frozen=True, kw_only=True, eq=False)
class Spans:
    """The masks of N objects: where their stretches of ones begin and end.

    Attributes:
        start: int64 [S], positions down the columns of each mask's own image.
        end: int64 [S], one behind the last position.
        first: int64 [N + 1]: mask i owns the spans first[i] to first[i + 1].
        size: int64 [N, 2], height and width; 0, 0 where an object has no mask.
    """

    start: np.ndarray
    end: np.ndarray
    first: np.ndarray
    size: np.ndarray

    @classmethod
    def of_masks(cls, masks: Sequence[Mask | None]) -> Spans:
        """The spans of masks; None stands for no mask."""
        packed = [b"" if mask is None else mask.packed for mask in masks]
        # A run of zeros at the end tells nothing more: without it all come in pairs.
        packed = [runs[:-4] if len(runs) & 4 else runs for runs in packed]
        pairs = np.frombuffer(b"".join(packed), "<u4").astype(np.int64)
        first = _offsets(np.array([len(runs) for runs in packed], np.int64) >> 3)
        size = np.array([(0, 0) if m is None else m.size for m in masks], np.int64)
        return cls.of_pairs(pairs, first, size.reshape(-1, 2))

    @classmethod
    def of_pairs(cls, pairs: np.ndarray, first: np.ndarray, size: np.ndarray) -> Spans:
        """From run lengths in pairs (zeros, ones), all masks one after the other.

        Args:
            pairs: int64 [2 S], consumed.
            first: int64 [N + 1]: mask i owns the pairs first[i] to first[i + 1].
            size: int64 [N, 2].
        """
        ends = np.cumsum(pairs, out=pairs)
        before = np.concatenate([[0], ends[1::2]])[first[:-1]]
        edges = ends.reshape(-1, 2)
        edges -= np.repeat(before, np.diff(first))[:, None]
        return cls(start=edges[:, 0], end=edges[:, 1], first=first, size=size)

    @property
    def counts(self) -> np.ndarray:
        """int64 [N], spans of each mask."""
        return np.diff(self.first)

    def areas(self) -> np.ndarray:
        """int64 [N], pixels of each mask."""
        return reduce_segments(np.add, self.end - self.start, self.first, 0)

    def bounds(self, of: np.ndarray) -> np.ndarray:
        """int64 [len(of), 4]: left, top, right, bottom as pixel edges; zeros for empty masks."""
        chosen, back = np.unique(of, return_inverse=True)
        counts = self.counts[chosen]
        spans, first = ragged(self.first[chosen], counts), _offsets(counts)
        kind = np.int32 if np.prod(self.size, axis=1).max(initial=0) < 2**31 else np.int64
        height = np.repeat(self.size[chosen, 0].astype(kind), counts)
        start, last = self.start[spans].astype(kind), (self.end[spans] - 1).astype(kind)
        column, last_column = start // height, last // height
        # A span around a column's end touches both edges of the image.
        wraps = column != last_column
        top = np.where(wraps, 0, start - column * height)
        bottom = np.where(wraps, height, last - last_column * height + 1)
        edges = [
            reduce_segments(np.minimum, column, first, 0),
            reduce_segments(np.minimum, top, first, 0),
            reduce_segments(np.maximum, last_column, first, -1) + 1,
            reduce_segments(np.maximum, bottom, first, 0),
        ]
        return np.stack(edges, axis=1).astype(np.int64)[back.reshape(-1)]

    def mask(self, index: int) -> Mask:
        """One of them as a `Mask`."""
        own = slice(int(self.first[index]), int(self.first[index + 1]))
        height, width = (int(side) for side in self.size[index])
        toggles = np.stack([self.start[own], self.end[own]], axis=1).reshape(-1)
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
        cls, images: Sequence[tuple[int, Segmentation]], areas: Sequence[float] | None = None
    ) -> Objects:
        """The instances of some images.

        Args:
            images: the number of each image, and what is in it.
            areas: of each instance, where a file tells them (COCO's "area" of truth).

        Raises:
            DataError: an image whose instances are not known, a score or a box that is no number,
                or areas that don't fit.
        """
        found: list[Instance] = []
        counts = []
        for number, content in images:
            if content.instances is None:
                raise DataError(
                    f"image {number} tells no instances (None); expected a tuple, empty where "
                    "there are none."
                )
            found += content.instances
            counts.append(len(content.instances))
        numbers = np.array([number for number, _ in images], np.int64)
        masks = [one.mask for one in found]
        has_masks = any(mask is not None for mask in masks)
        boxes = np.array([one.box_xyxy for one in found], np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        scores = [one.score for one in found]
        return cls.of_arrays(
            image=np.repeat(numbers, counts),
            class_id=np.array([one.class_id for one in found], np.int64),
            box_xywh=boxes,
            score=np.array([1.0 if score is None else score for score in scores], np.float64),
            crowd=np.array([one.crowd for one in found], bool),
            area=areas,
            spans=Spans.of_masks(masks) if has_masks else None,
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
