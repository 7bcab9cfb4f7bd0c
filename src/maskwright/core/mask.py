"""`Mask`: the pixels of one object, run-length coded: lossless, with holes and several parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maskwright.core import runs as rl
from maskwright.core.errors import DataError
from maskwright.core.polygon import polygon_toggles
from maskwright.core.resize import resize_nearest


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """A set of pixels of an image; immutable, hashable, cheap to keep and to send.

    Build it with `encode`, `from_runs`, `from_coco` or `from_polygons`. Two masks are equal when
    they have the same size and cover the same pixels.

    Attributes:
        size: (height, width) of the image.
        packed: the run lengths as little-endian uint32: down the columns, from left to right,
            zeros first; only the first may be 0.
    """

    size: tuple[int, int]
    packed: bytes

    @classmethod
    def encode(cls, pixels_HW: np.ndarray) -> Mask:
        """The mask of the pixels that are not 0 in a bool or integer array [H, W].

        Raises:
            DataError: another shape or type.
        """
        if pixels_HW.ndim != 2 or pixels_HW.dtype.kind not in "bui" or not pixels_HW.size:
            raise DataError(
                f"expected pixels [height, width] of type bool or uint8, got shape "
                f"{pixels_HW.shape} of {pixels_HW.dtype}; pass one mask, thresholded."
            )
        binary = pixels_HW if pixels_HW.dtype == np.bool_ else pixels_HW != 0
        size = (pixels_HW.shape[0], pixels_HW.shape[1])
        return cls._of_toggles(rl.toggles_of_pixels(_transposed(binary).reshape(-1)), size)

    @classmethod
    def from_runs(cls, runs: Sequence[int] | np.ndarray, size: tuple[int, int]) -> Mask:
        """The mask of run lengths: down the columns, zeros first; runs of 0 are allowed.

        Raises:
            DataError: negative runs, or runs that don't sum to the number of pixels.
        """
        size = _checked_size(size)
        try:
            lengths = np.asarray(runs)
            if lengths.size and lengths.dtype.kind not in "ui":
                raise ValueError
        except (ValueError, OverflowError):
            raise DataError(f"expected run lengths as whole numbers, got {runs!r:.80}.") from None
        lengths = lengths.reshape(-1).astype(np.int64)
        if (lengths < 0).any() or int(lengths.sum()) != size[0] * size[1]:
            raise DataError(
                f"expected run lengths >= 0 that sum to {size[0]} x {size[1]} = "
                f"{size[0] * size[1]} pixels, got {len(lengths)} runs from "
                f"{lengths.min(initial=0)} up that sum to {int(lengths.sum())}; the annotation is "
                "damaged or has the size of another image."
            )
        return cls._of_toggles(rl.toggles_of_runs(lengths), size)

    @classmethod
    def from_polygons(
        cls, polygons: Sequence[Sequence[float] | np.ndarray], size: tuple[int, int]
    ) -> Mask:
        """The union of polygons, each filled by the rule of the COCO API (as pycocotools does).

        Args:
            polygons: each x, y, x, y, ... or [N, 2], in pixel edges.
            size: (height, width) of the image; what lies outside is cut off.

        Raises:
            DataError: an odd number of coordinates, or one that is not finite or absurdly far.
        """
        size = _checked_size(size)
        filled = [polygon_toggles(polygon, size) for polygon in polygons]
        return cls._of_toggles(_union(filled), size)

    @classmethod
    def from_coco(cls, data: Mapping[str, Any]) -> Mask:
        """Read COCO's run-length form, plain or compressed.

        Args:
            data: "size": [height, width] and "counts": a list of runs, or the compressed text.

        Raises:
            DataError: an entry is missing, damaged or does not fit the size.
        """
        if not isinstance(data, Mapping) or "size" not in data or "counts" not in data:
            raise DataError(f"expected a COCO mask with 'size' and 'counts', got {data!r:.80}.")
        counts = data["counts"]
        runs = rl.from_string(counts) if isinstance(counts, str | bytes) else counts
        return cls.from_runs(runs, _checked_size(data["size"]))

    @staticmethod
    def merge(masks: Sequence[Mask], intersect: bool = False) -> Mask:
        """The union of masks of one size, or their intersection.

        Raises:
            DataError: no mask at all, or sizes that differ.
        """
        if not masks:
            raise DataError("expected at least one mask to merge, got none.")
        for other in masks[1:]:
            masks[0]._check_size(other)
        toggles = [mask._toggles for mask in masks]
        return Mask._of_toggles(rl.combine(toggles, len(masks) if intersect else 1), masks[0].size)

    @property
    def runs(self) -> np.ndarray:
        """The run lengths uint32, read-only: down the columns, zeros first."""
        return np.frombuffer(self.packed, "<u4")

    @property
    def area(self) -> int:
        """The number of pixels."""
        return int(self.runs[1::2].sum(dtype=np.int64))

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom as pixel edges; (0, 0, 0, 0) for an empty mask."""
        left, top, right, bottom = rl.bounds(self._toggles, self.size)
        return float(left), float(top), float(right), float(bottom)

    def decode(self) -> np.ndarray:
        """The pixels, bool [H, W]."""
        values = np.zeros(len(self.runs), np.bool_)
        values[1::2] = True
        return _transposed(np.repeat(values, self.runs).reshape(self.size[::-1]))

    def iou(self, other: Mask) -> float:
        """Shared area over united area, 0..1; 0 where both are empty.

        Raises:
            DataError: sizes that differ.
        """
        self._check_size(other)
        common = rl.common_area(self._toggles, other._toggles, self.size[0] * self.size[1])
        return common / max(1, self.area + other.area - common)

    def union(self, other: Mask) -> Mask:
        """The pixels of either (also `a | b`).

        Raises:
            DataError: sizes that differ.
        """
        return Mask.merge([self, other])

    def intersection(self, other: Mask) -> Mask:
        """The pixels of both (also `a & b`).

        Raises:
            DataError: sizes that differ.
        """
        return Mask.merge([self, other], intersect=True)

    __or__ = union
    __and__ = intersection

    def crop(self, box: tuple[int, int, int, int]) -> Mask:
        """The part inside the window left, top, right, bottom, in whole pixel edges.

        Raises:
            DataError: the window is empty or reaches over the image.
        """
        left, top, right, bottom = (int(edge) for edge in box)
        inside = 0 <= left < right <= self.size[1] and 0 <= top < bottom <= self.size[0]
        if not inside or (left, top, right, bottom) != tuple(box):
            raise DataError(
                f"expected a window left, top, right, bottom of whole pixels inside the mask of "
                f"{self.size[0]}x{self.size[1]} (height x width), got {tuple(box)}."
            )
        window = (left, top, right, bottom)
        return Mask._of_toggles(
            rl.cropped(self._toggles, self.size, window), (bottom - top, right - left)
        )

    def shift(self, dy: int, dx: int) -> Mask:
        """Move down by `dy` and right by `dx` pixels in a frame of the same size.

        What leaves the frame is lost.
        """
        height, width = self.size
        moved = np.zeros(self.size, np.bool_)
        if abs(dy) < height and abs(dx) < width:
            kept = self.decode()[
                max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
            ]
            moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = kept
        return Mask.encode(moved)

    def resize(self, size: tuple[int, int]) -> Mask:
        """Scale to `size` (height, width) by nearest neighbour, sampled as `core.resize` does.

        Raises:
            DataError: a size that is not positive.
        """
        size = _checked_size(size)
        return (
            self
            if size == self.size
            else Mask.encode(resize_nearest(self.decode().view(np.uint8), size).view(np.bool_))
        )

    def to_coco(self, compressed: bool = True) -> dict[str, Any]:
        """COCO's run-length form, ready for JSON: "size" [height, width] and "counts"."""
        counts = rl.to_string(self.runs) if compressed else self.runs.tolist()
        return {"size": list(self.size), "counts": counts}

    def __repr__(self) -> str:
        return f"Mask(size={self.size}, area={self.area})"

    @property
    def _toggles(self) -> np.ndarray:
        return np.cumsum(self.runs[:-1], dtype=np.int64)  # runs are canonical: nothing cancels

    @classmethod
    def _of_toggles(cls, toggles: np.ndarray, size: tuple[int, int]) -> Mask:
        runs = rl.runs_of_toggles(toggles, size[0] * size[1])
        return cls(size=size, packed=runs.astype("<u4", copy=False).tobytes())

    def _check_size(self, other: Mask) -> None:
        if other.size != self.size:
            raise DataError(
                f"expected masks of one size, got {self.size} and {other.size} (height, width); "
                "resize or crop one of them first."
            )


def _union(toggles: Sequence[np.ndarray]) -> np.ndarray:
    return rl.combine(toggles, 1) if toggles else np.zeros(0, np.int64)


def _transposed(pixels: np.ndarray) -> np.ndarray:
    # OpenCV turns images in blocks, several times faster than a strided copy.
    return cv2.transpose(np.ascontiguousarray(pixels).view(np.uint8)).view(np.bool_)


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"expected a size (height, width), got {str(size)[:80]}.") from None
    if not 0 < height * width < 2**32 or height < 1:
        raise DataError(f"expected a positive size (height, width), got {height}x{width}.")
    return height, width
