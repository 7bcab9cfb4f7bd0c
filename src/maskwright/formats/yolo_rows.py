"""The rows of YOLO label files, checked: every fault names the file and the line.

    class x_centre y_centre width height            a box
    class x1 y1 x2 y2 x3 y3 ...                     a polygon of at least three corners

Numbers are shares of the image's width and height. A confidence may stand at the end: in box rows
always, in polygon rows where all polygons of the file have one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from maskwright.core.errors import DataError
from maskwright.formats.text_files import read_text

_FARTHEST = 2.0  # image widths; beyond, a number is no share but a pixel
_BOX_FIELDS = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Row:
    """One object as it stands in the file.

    Attributes:
        class_id: as in the file.
        shares: float64 [4], centre and size of a box, or [N, 2], the corners of a polygon.
        score: 0..1, or None.
        keypoints: after a box: shares x, y and visibility of each, float64 [K, 3], or None.
    """

    class_id: int
    shares: np.ndarray
    score: float | None
    keypoints: np.ndarray | None = None

    @property
    def is_polygon(self) -> bool:
        """Whether there is more than a box."""
        return self.shares.ndim == 2


def read_rows(
    label: Path, class_ids: Collection[int], keypoints: tuple[int, int] | None = None
) -> tuple[Row, ...]:
    """The objects of a label file; none where it is missing or empty.

    Args:
        label: the .txt file.
        class_ids: those that have a name.
        keypoints: how many key points follow each box, of how many numbers each.

    Raises:
        DataError: a row that can't be read, naming file and line.
    """
    if not label.exists():
        return ()
    lines = [
        (number, fields)
        for number, line in enumerate(read_text(label).splitlines(), start=1)
        if (fields := line.split())
    ]
    posed = _pose_lengths(keypoints)
    polygons = [
        fields for _, fields in lines if len(fields) > _BOX_FIELDS + 1 and len(fields) not in posed
    ]
    scored = all(len(fields) % 2 == 0 for fields in polygons)
    rows = []
    for number, fields in lines:
        try:
            rows.append(
                _posed(fields, class_ids, keypoints)
                if keypoints is not None and len(fields) in posed
                else _row(fields, class_ids, scored)
            )
        except DataError as error:
            raise DataError(f"{label}, line {number}: {error}") from None
    return tuple(rows)


def holds_polygons(label: Path, keypoints: tuple[int, int] | None = None) -> bool | None:
    """Whether any row of a label file is a polygon; None where there are no rows."""
    lengths = [len(fields) for line in read_text(label).splitlines() if (fields := line.split())]
    boxes = {*range(_BOX_FIELDS + 2), *_pose_lengths(keypoints)}
    return any(length not in boxes for length in lengths) if lengths else None


def _pose_lengths(keypoints: tuple[int, int] | None) -> tuple[int, ...]:
    """How many fields a row with key points has: without and with a score."""
    if keypoints is None:
        return ()
    count = _BOX_FIELDS + keypoints[0] * keypoints[1]
    return count, count + 1


def _posed(fields: Sequence[str], class_ids: Collection[int], keypoints: tuple[int, int]) -> Row:
    """A row of a box, key points and, last, in answers of YOLO tools, a score."""
    points, each = keypoints
    end = _BOX_FIELDS + points * each
    box = _row([*fields[:_BOX_FIELDS], *fields[end:]], class_ids, scored=True)
    found = np.array(_numbers(fields[_BOX_FIELDS:end])).reshape(points, each)
    visible = np.full((points, 1), 2.0)  # COCO's "labelled and visible"
    return replace(box, keypoints=found if each == 3 else np.hstack([found, visible]))


def box_row(box_xyxy: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """A box in pixels as the numbers of a box row: shares float64 [4]."""
    left, top, right, bottom = box_xyxy
    height, width = size
    return np.array(
        [
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        ]
    )


def text_of(class_id: int, shares: np.ndarray, score: float | None) -> str:
    """One line of a label file."""
    numbers = [_share_text(s) if s else f"{s:.0f}" for s in shares.ravel().tolist()]
    return " ".join([str(class_id), *numbers, *([] if score is None else [f"{score:.6f}"])])


@lru_cache(1 << 16)  # corners lie on pixels: a few thousand shares stand for all of a set
def _share_text(share: float) -> str:  # but 0, which equals -0
    return f"{share:.7f}".rstrip("0").rstrip(".")


def _row(fields: Sequence[str], class_ids: Collection[int], scored: bool) -> Row:
    numbers = _numbers(fields)
    if len(numbers) < _BOX_FIELDS:
        raise DataError(
            f"expected a class and four numbers of a box, or a class and a polygon, got "
            f"{len(fields)} fields: {' '.join(fields)!r}; mend or remove this row."
        )
    is_polygon = len(numbers) > _BOX_FIELDS + 1
    with_score = len(numbers) % 2 == 0
    if is_polygon and with_score and not scored:
        raise DataError(
            f"expected a polygon as pairs x y, got {len(numbers) - 1} numbers after the class; "
            "one is missing or too many."
        )
    shares = np.array(numbers[1:-1] if with_score else numbers[1:])
    far = shares[np.abs(shares) > _FARTHEST]
    if len(far):
        raise DataError(
            f"expected shares of the image's width and height in 0..1, got {far[0]:g}; divide "
            "pixels by the image's size."
        )
    if not is_polygon and (shares[2:] < 0).any():
        raise DataError(f"expected a box's width and height >= 0, got {shares[2:].tolist()}.")
    score = numbers[-1] if with_score else None
    if score is not None and not 0 <= score <= 1:
        raise DataError(
            f"expected a confidence 0..1 as the last of {len(numbers)} fields, got {score:g}."
        )
    return Row(
        class_id=_class_id(numbers[0], class_ids),
        shares=shares.reshape(-1, 2) if is_polygon else shares,
        score=score,
    )


def _numbers(fields: Sequence[str]) -> list[float]:
    try:
        numbers = list(map(float, fields))
        if all(map(math.isfinite, numbers)):
            return numbers
    except ValueError:
        pass
    wrong = next(field for field in fields if not _is_finite(field))
    raise DataError(
        f"expected finite numbers with spaces between them, got {wrong[:40]!r}; mend it."
    )


def _is_finite(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def _class_id(number: float, class_ids: Collection[int]) -> int:
    if number not in class_ids:
        known = sorted(class_ids)
        span = f"{known[0]}..{known[-1]}" if known else "none"
        raise DataError(
            f"class id {number:g} has no name; the ids are {span} ({len(known)} classes). Name it "
            "in data.yaml, or mend the row."
        )
    return int(number)
