"""`ObjectArrays`: the objects of one image as arrays; each becomes an `Instance` when asked for.

Detectors answer with a hundred objects an image, and most of what reads them (scores above all)
wants their numbers side by side. Building an `Instance` and a `Mask` of each would take longer than
all that is counted of them.

Legend: N objects, R runs; `first` int64 [N + 1]: object i owns the runs first[i] to first[i + 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.mask_lists import boxes_of
from maskwright.core.parts import Instance


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ObjectArrays(Sequence[Instance]):
    """N objects with masks and scores, none of them a crowd; a sequence of `Instance`.

    Attributes:
        size: (height, width) of the image.
        class_id: int64 [N].
        score: float64 [N].
        runs: uint32 [R], the run lengths of all masks, each as `Mask.runs`.
        first: int64 [N + 1].
        told_boxes: float64 [N, 4], left, top, right, bottom as a file tells them; None: those
            around the masks.
    """

    size: tuple[int, int]
    class_id: np.ndarray
    score: np.ndarray
    runs: np.ndarray
    first: np.ndarray
    told_boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.class_id)

    @overload
    def __getitem__(self, place: int) -> Instance: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Instance, ...]: ...

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return tuple(map(self._instance, range(*place.indices(len(self)))))
        return self._instance(range(len(self))[place])

    def __iter__(self) -> Iterator[Instance]:
        return map(self._instance, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple | ObjectArrays) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ObjectArrays({len(self)} objects)"

    @cached_property
    def boxes(self) -> np.ndarray:
        """float64 [N, 4]: left, top, right, bottom."""
        if self.told_boxes is not None:
            return self.told_boxes
        return boxes_of([self._mask(place) for place in range(len(self))])

    def _mask(self, place: int) -> Mask:
        runs = self.runs[self.first[place] : self.first[place + 1]]
        return Mask(size=self.size, packed=runs.astype("<u4", copy=False).tobytes())

    def _instance(self, place: int) -> Instance:
        left, top, right, bottom = self.boxes[place].tolist()
        return Instance(
            class_id=int(self.class_id[place]),
            box_xyxy=(left, top, right, bottom),
            mask=self._mask(place),
            score=float(self.score[place]),
        )
