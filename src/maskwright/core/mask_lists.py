"""Many run-length masks at once: decoded, encoded and measured in whole-array operations.

One mask is small, so that most of the time of `Mask.from_coco` goes into calling numpy. Here the
bytes of all masks stand in one array, and a call serves them all; the numbers are the same.

Legend: N masks; `first` int64 [N + 1]: mask i owns the places first[i] to first[i + 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from maskwright.core.mask import Mask

_MOST_LETTERS = 7  # 35 bits hold every difference of uint32 runs
_PIXELS_AT_ONCE = 1 << 22


def masks_from_coco(coded: Sequence[Any]) -> list[Mask | None]:
    """Masks of COCO's compressed form, those that can be read together.

    Args:
        coded: of N objects, whatever a file holds: run lengths, polygons, None.

    Returns:
        The mask that `Mask.from_coco` gives, or None where there is something else, or a fault:
        `Mask.from_coco` tells which.
    """
    found: list[Mask | None] = [None] * len(coded)
    at = [place for place, one in enumerate(coded) if _is_compressed(one)]
    if not at:
        return found
    texts = [coded[place]["counts"] for place in at]
    sizes = [(coded[place]["size"][0], coded[place]["size"][1]) for place in at]
    try:
        data = [text.encode("ascii") if isinstance(text, str) else text for text in texts]
    except UnicodeEncodeError:
        return found
    decoded = _runs_of_texts(b"".join(data), [*map(len, data)])
    if decoded is None:
        return found
    runs, first = decoded
    total = np.prod(np.array(sizes, np.int64), axis=1)
    packed, ends = runs.astype("<u4").tobytes(), (4 * first).tolist()
    for number in np.flatnonzero(_whole(runs, first, total)).tolist():
        own = packed[ends[number] : ends[number + 1]]
        found[at[number]] = Mask(size=sizes[number], packed=own)
    return found


def runs_from_coco(
    coded: Sequence[Any], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The run lengths of many masks of one image in COCO's compressed form.

    Args:
        coded: of N objects, whatever a file holds.
        size: (height, width) of the image.

    Returns:
        Run lengths uint32 of all masks, each as `Mask.runs`, and `first`; None where any is
        something else, damaged or of another size: `Mask.from_coco` tells which.
    """
    try:
        texts = [one["counts"] for one in coded]
        wanted = list(size)
        same = all(one["size"] == wanted for one in coded)
        if not same or set(map(type, texts)) != {str} or not all(texts):
            return None
        joined = "".join(texts).encode("ascii")
    except (KeyError, IndexError, TypeError, UnicodeEncodeError):
        return None
    decoded = _runs_of_texts(joined, [*map(len, texts)])
    if decoded is None:
        return None
    runs, first = decoded
    whole = _whole(runs, first, np.full(len(texts), size[0] * size[1]))
    return (runs.astype(np.uint32), first) if whole.all() else None


def _is_compressed(coded: Any) -> bool:
    if not isinstance(coded, dict) or not isinstance(coded.get("counts"), str | bytes):
        return False
    size = coded.get("size")
    if not isinstance(size, list | tuple) or len(size) != 2 or not coded["counts"]:
        return False
    height, width = size
    whole = type(height) is int and type(width) is int
    return whole and height > 0 and 0 < height * width < 2**32


def _runs_of_texts(data: bytes, letters_each: list[int]) -> tuple[np.ndarray, np.ndarray] | None:
    """The numbers int64 of texts, one after the other, and where each text's begin.

    Args:
        data: the texts, none empty.
        letters_each: how long each is.

    Returns:
        None where there is a fault.
    """
    letters = np.frombuffer(data, np.uint8) - np.uint8(48)
    begins = _offsets(np.array(letters_each, np.int64))
    closing = letters < 32
    if letters.max() > 63 or not closing[begins[1:] - 1].all():
        return None
    ends = np.flatnonzero(closing)
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.max())
    if longest > _MOST_LETTERS + 1:
        return None
    # The last letter's highest bit is the number's sign; those before it follow, highest first.
    numbers = ((letters[ends] & 31) ^ 16).astype(np.int64) - 16
    longer = np.flatnonzero(lengths > 1)
    for back in range(1, longest):
        numbers[longer] = (numbers[longer] << 5) | (letters[ends[longer] - back] & 31)
        longer = longer[lengths[longer] > back + 1]
    first = np.searchsorted(ends, begins)
    _add_up(numbers, first)
    return numbers, first


def _add_up(numbers: np.ndarray, first: np.ndarray) -> None:
    """Differences to the number two before become numbers, in place; the first stands alone."""
    counts = np.diff(first)
    # In two columns, each mask in rows of its own, every column is one running sum.
    odd = np.flatnonzero(counts & 1)
    pairs = numbers if not len(odd) else np.insert(numbers, first[1:][odd], 0)
    pairs = pairs.reshape(-1, 2)
    rows = _offsets((counts + 1) >> 1)
    begins = rows[:-1]
    alone = pairs[begins, 0].copy()
    pairs[begins, 0] = 0
    # The sum over all masks may run over, but not the differences within one.
    total = np.cumsum(pairs, axis=0)
    before = np.zeros((len(counts), 2), np.int64)
    before[1:] = total[begins[1:] - 1]
    total -= np.repeat(before, np.diff(rows), axis=0)
    total[begins, 0] = alone
    flat = total.reshape(-1)
    if len(odd):
        kept = np.ones(len(flat), bool)
        kept[2 * rows[1:][odd] - 1] = False
        flat = flat[kept]
    numbers[:] = flat


def _whole(runs: np.ndarray, first: np.ndarray, total: np.ndarray) -> np.ndarray:
    """bool [N]: whether the runs are a mask's as it keeps them: of its size, no 0 but the first."""
    wrong = (runs < 0) | (runs >= 2**32)
    zero = runs == 0
    zero[first[:-1]] = False
    sums = np.add.reduceat(runs, first[:-1])
    return (sums == total) & ~np.logical_or.reduceat(wrong | zero, first[:-1])


def masks_to_coco(masks: Sequence[Mask]) -> list[dict[str, Any]]:
    """Of each mask what `Mask.to_coco` gives, compressed."""
    if not masks:
        return []
    runs, first = _joined(masks)
    numbers = runs.astype(np.int64)
    place = np.arange(len(numbers)) - np.repeat(first[:-1], np.diff(first))
    later = np.flatnonzero(place >= 3)
    numbers[later] -= runs[later - 2].astype(np.int64)
    last = np.zeros(len(numbers), np.int64)  # letters beyond the first
    magnitude = np.where(numbers < 0, ~numbers, numbers)
    for group in range(_MOST_LETTERS - 1):
        last += magnitude >= np.int64(1) << (5 * group + 4)
    begins = _offsets(last + 1)
    letters = np.empty(begins[-1], np.uint8)
    for group in range(_MOST_LETTERS):
        more = np.flatnonzero(last >= group)
        bits = (numbers[more] >> (5 * group)) & 31
        letters[begins[more] + group] = bits + np.where(last[more] > group, 80, 48)
    text, ends = letters.tobytes().decode("ascii"), begins[first].tolist()
    return [
        {"size": list(mask.size), "counts": text[begin:end]}
        for mask, begin, end in zip(masks, ends, ends[1:])
    ]


def boxes_of(masks: Sequence[Mask]) -> np.ndarray:
    """float64 [N, 4]: the boxes of masks, left, top, right, bottom, as `Mask.box_xyxy`."""
    boxes = np.zeros((len(masks), 4))
    filled = [number for number, mask in enumerate(masks) if len(mask.packed) > 4]
    if filled:
        edges, first, heights = _edges_of([masks[number] for number in filled])
        boxes[filled] = bounds_of_spans(edges, first, heights)
    return boxes


def _edges_of(masks: Sequence[Mask]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the stretches of masks, none empty, begin and end, [S, 2]; `first`; heights [N]."""
    runs, first = spans_runs(masks)
    begins = first[:-1]
    ends = np.cumsum(runs, dtype=np.int64)
    before = np.where(begins > 0, ends[2 * begins - 1], 0)
    edges = (ends - np.repeat(before, 2 * np.diff(first))).reshape(-1, 2)
    return edges, first, np.array([mask.size[0] for mask in masks], np.int64)


def windows_of_masks(masks: Sequence[Mask]) -> Iterator[tuple[np.ndarray, int, int]]:
    """The pixels of masks, none empty, inside their boxes; painted together, some at a time.

    Yields:
        bool [h, w], contiguous; left and top of the box.
    """
    if not masks:
        return
    edges, first, heights = _edges_of(masks)
    boxes = bounds_of_spans(edges, first, heights)
    widths, steps = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1] + 1
    batch = (np.cumsum(widths * steps) - 1) // _PIXELS_AT_ONCE
    for some in np.split(np.arange(len(masks)), np.flatnonzero(np.diff(batch)) + 1):
        own = edges[first[some[0]] : first[some[-1] + 1]]
        painted, begins = paint_windows(own, np.diff(first)[some], boxes[some], heights[some])
        for number, low, high in zip(some.tolist(), begins.tolist(), begins[1:].tolist()):
            turned = painted[low:high].reshape(widths[number], steps[number])[:, :-1]
            window = cv2.transpose(np.ascontiguousarray(turned)).view(np.bool_)
            yield window, int(boxes[number, 0]), int(boxes[number, 1])


def paint_windows(
    edges: np.ndarray, counts: np.ndarray, boxes: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paint masks, none empty, into their boxes, turned so that columns are contiguous.

    Args:
        edges: int64 [S, 2], where the stretches of all masks begin, and one behind their last.
        counts: int64 [N], stretches of each mask.
        boxes: int64 [N, 4], left, top, right, bottom of each.
        heights: int64 [N], of their images.

    Returns:
        uint8 {0, 1}: of each mask [w, h + 1], a place below each column that is to be set to 0,
        and one more behind them all; int64 [N + 1], where each begins.
    """
    steps = boxes[:, 3] - boxes[:, 1] + 1
    begins = _offsets((boxes[:, 2] - boxes[:, 0]) * steps)
    height, left, top = np.repeat(np.stack([heights, boxes[:, 0], boxes[:, 1]]), counts, axis=1)
    step, begin = np.repeat(steps, counts), np.repeat(begins[:-1], counts)
    flat = np.zeros(begins[-1] + 1, np.int8)
    for places, behind, value in ((edges[:, 0], 0, 1), (edges[:, 1] - 1, 1, -1)):
        column, row = np.divmod(places, height)
        flat[begin + (column - left) * step + row - top + behind] = value
    return np.cumsum(flat, dtype=np.int8).view(np.uint8), begins


def bounds_of_spans(edges: np.ndarray, first: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """int64 [N, 4]: left, top, right, bottom of masks, none empty, as pixel edges.

    Args:
        edges: whole numbers [S, 2], where each stretch of ones begins, and one behind its last.
        first: int64 [N + 1], of the stretches.
        heights: int64 [N], of the masks' images.
    """
    begins = first[:-1]
    starts, lasts = edges[:, 0].copy(), edges[:, 1] - 1
    height: Any = heights[0].astype(edges.dtype)
    if (heights != height).any():  # dividing by one number is several times as fast
        height = np.repeat(heights, np.diff(first))
    left, right = starts // height, lasts // height
    top, bottom = starts - left * height, lasts - right * height
    around = np.logical_or.reduceat(left != right, begins)  # touches both ends of a column
    return np.stack(
        [
            left[begins],
            np.where(around, 0, np.minimum.reduceat(top, begins)),
            right[first[1:] - 1] + 1,
            np.where(around, heights, np.maximum.reduceat(bottom, begins) + 1),
        ],
        axis=1,
    )


def spans_runs(masks: Sequence[Mask]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths uint32 [2 S] in pairs (zeros, ones), and `first` of the pairs."""
    # A run of zeros at the end tells nothing more: without it all come in pairs.
    packed = [mask.packed[:-4] if len(mask.packed) & 4 else mask.packed for mask in masks]
    first = _offsets(np.fromiter(map(len, packed), np.int64, len(packed)) >> 3)
    return np.frombuffer(b"".join(packed), "<u4"), first


def _joined(masks: Sequence[Mask]) -> tuple[np.ndarray, np.ndarray]:
    packed = [mask.packed for mask in masks]
    first = _offsets(np.fromiter(map(len, packed), np.int64, len(packed)) >> 2)
    return np.frombuffer(b"".join(packed), "<u4"), first


def masks_of_windows(
    windows: Sequence[np.ndarray], corners: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[Mask]:
    """Masks of one image from the pixels inside a window each; all outside is 0.

    Args:
        windows: bool or uint8 {0, 1} [w, h] each, as `turned_window` gives; may be empty.
        corners: left and top of each window; it must lie inside the image.
        size: (height, width) of the image.
    """
    made: list[Mask] = []
    start, pixels = 0, 0
    for number, window in enumerate(windows):
        pixels += window.size
        if pixels >= _PIXELS_AT_ONCE or number + 1 == len(windows):
            here = slice(start, number + 1)
            made += _of_windows(windows[here], corners[here], size)
            start, pixels = number + 1, 0
    return made


def turned_window(window: np.ndarray) -> np.ndarray:
    """bool or uint8 [h, w] -> uint8 [w, h], contiguous: as masks count, down the columns."""
    if not window.size:
        return np.zeros(window.shape[::-1], np.uint8)
    # OpenCV turns images in blocks, several times faster than a strided copy.
    return cv2.transpose(np.ascontiguousarray(window).view(np.uint8))


def _of_windows(
    windows: Sequence[np.ndarray], corners: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[Mask]:
    widths = np.array([window.shape[0] for window in windows], np.int64)
    heights = np.array([window.shape[1] for window in windows], np.int64)
    first = _offsets((heights + 1) * widths)
    # Columns one after the other, a 0 below each: no run reaches from one into the next.
    flat = np.zeros(first[-1] + 1, np.bool_)
    for window, begin, end in zip(windows, first.tolist(), first[1:].tolist()):
        if end > begin:
            flat[begin:end].reshape(len(window), -1)[:, :-1] = window
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.concatenate([[0], changes])
    own = np.searchsorted(changes, first)
    counts = np.diff(own)
    column, row = np.divmod(changes - np.repeat(first[:-1], counts), np.repeat(heights + 1, counts))
    left, top = np.array(corners, np.int64).reshape(-1, 2).T
    places = (column + np.repeat(left, counts)) * size[0] + row + np.repeat(top, counts)
    return masks_of_toggles(places, own, size)


def masks_of_toggles(places: np.ndarray, first: np.ndarray, size: tuple[int, int]) -> list[Mask]:
    """Masks of one image from the positions where each one's value changes.

    Args:
        places: int64, for each mask rising, in pairs of a first pixel and one behind the last;
            a pair may begin where the one before ends.
        first: int64 [N + 1], of the positions.
        size: (height, width) of the image.
    """
    total = size[0] * size[1]
    owner = np.repeat(np.arange(len(first) - 1), np.diff(first))
    # Where a stretch begins at the end of the one before, both go; so does the image's end.
    meets = np.flatnonzero((places[1:] == places[:-1]) & (owner[1:] == owner[:-1]))
    kept = places < total
    kept[meets] = kept[meets + 1] = False
    places, owner = places[kept], owner[kept]
    counts = np.bincount(owner, minlength=len(first) - 1) + 1
    begins = _offsets(counts)
    ends = np.full(begins[-1], total, np.int64)
    ends[np.arange(len(places)) + owner] = places
    runs = np.diff(ends, prepend=0)
    runs[begins[:-1]] = ends[begins[:-1]]
    packed, edges = runs.astype("<u4").tobytes(), (4 * begins).tolist()
    return [Mask(size=size, packed=packed[a:b]) for a, b in pairwise(edges)]


def _offsets(counts: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
