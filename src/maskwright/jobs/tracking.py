"""Objects that keep their identity from frame to frame.

Alex Bewley, Zongyuan Ge, Lionel Ott, Fabio Ramos, Ben Upcroft: Simple Online and Realtime Tracking,
ICIP 2016, arXiv 1602.00763 (one assignment a frame); Yifu Zhang et al.: ByteTrack, ECCV 2022, arXiv
2110.06864 (objects of low scores go on, but begin nothing); Fan Yang, Shigeyuki Odashima, Shoichi
Masui, Shan Jiang: Hard to Track Objects with Irregular Motions and Similar Appearances? WACV 2023,
arXiv 2211.13509 (boxes that are grown, for what small or fast objects leave behind). What overlaps
is masks, moved by how fast their boxes went; boxes where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from maskwright.core.assignment import best_pairs
from maskwright.core.errors import ConfigError
from maskwright.core.parts import Instance
from maskwright.core.segmentation import Segmentation

GROWN, GROWN_PIXELS = 0.5, 2.0
"""What is added to a box on every side for a second look: a share of it, and pixels, as the jitter
of a goal post that is one pixel wide is no smaller than that of a robot."""

STEADY = 0.5
"""Share of the last velocity in the next: what boxes do from frame to frame is noisy."""


@dataclass(eq=False)
class _Track:
    """An object of one identity.

    Attributes:
        number: its identity.
        last: as it was seen last.
        velocity: x and y, pixels a frame, of its box's middle.
        missed: frames since then.
        window: the pixels of its mask inside its box, kept as they are compared often.
    """

    number: int
    last: Instance
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    missed: int = 0

    def __post_init__(self) -> None:
        self.window = _window(self.last)

    def see(self, found: Instance) -> None:
        moved = (_middle(found) - _middle(self.last)) / (self.missed + 1)
        self.velocity = STEADY * self.velocity + (1 - STEADY) * moved
        self.last, self.missed = found, 0
        self.window = _window(found)


class Tracker:
    """Gives the objects of a video's frames their `track_id`, frame after frame.

    An object that isn't found for some frames keeps its identity if it comes back where it was
    bound for. Identities are 1, 2, 3 ... and never used again.

    Args:
        min_iou: overlap with where it was expected, below which an object is another one.
        patience: frames for which an object may be lost.
        start_score: confidence from which an object begins; those below only go on.

    Raises:
        ConfigError: settings out of range.
    """

    def __init__(self, min_iou: float = 0.2, patience: int = 15, start_score: float = 0.5) -> None:
        if not 0 < min_iou < 1 or patience < 0 or not 0 <= start_score <= 1:
            raise ConfigError(
                "expected min_iou between 0 and 1, patience of 0 frames or more and start_score "
                f"in 0..1, got {min_iou}, {patience} and {start_score}."
            )
        self.min_iou, self.patience, self.start_score = min_iou, patience, start_score
        self._tracks: list[_Track] = []
        self._given = 0

    def update(self, found: Segmentation) -> Segmentation:
        """The next frame's answer, its objects with identities.

        Those that are no track's yet, and too unsure to begin one, have none.

        Args:
            found: of the next frame; without objects it comes back as it is.
        """
        if found.instances is None:
            return found
        objects = list(found.instances)
        sure = [place for place, one in enumerate(objects) if _sure(one, self.start_score)]
        others = [place for place in range(len(objects)) if place not in set(sure)]
        owners: dict[int, _Track] = {}
        for places, grown in ((sure, False), (sure, True), (others, False)):
            taken = set(map(id, owners.values()))
            left = [track for track in self._tracks if id(track) not in taken]
            open_places = [place for place in places if place not in owners]
            owners |= self._match(objects, open_places, left, grown)
        for track in self._tracks:
            track.missed += 1
        for place, track in owners.items():
            track.missed -= 1
            track.see(objects[place])
        for place in sure:
            if place not in owners:
                self._given += 1
                owners[place] = _Track(number=self._given, last=objects[place])
                self._tracks.append(owners[place])
        self._tracks = [track for track in self._tracks if track.missed <= self.patience]
        told = tuple(
            replace(one, track_id=owners[place].number if place in owners else None)
            for place, one in enumerate(objects)
        )
        return replace(found, instances=told)

    def _match(
        self,
        objects: Sequence[Instance],
        places: Sequence[int],
        tracks: Sequence[_Track],
        grown: bool,
    ) -> dict[int, _Track]:
        """Places of objects -> the tracks that they go on with."""
        overlap_NM = np.zeros((len(places), len(tracks)))
        windows = [None if grown else _window(objects[place]) for place in places]
        for row, place in enumerate(places):
            for column, track in enumerate(tracks):
                if objects[place].class_id == track.last.class_id:
                    shift = track.velocity * (track.missed + 1)
                    overlap_NM[row, column] = _overlap(
                        objects[place], windows[row], track.last, track.window, shift, grown
                    )
        pairs = best_pairs(overlap_NM, above=self.min_iou)
        return {places[row]: tracks[column] for row, column in pairs}


def _sure(one: Instance, start_score: float) -> bool:
    return not one.crowd and (one.score is None or one.score >= start_score)


def _middle(one: Instance) -> np.ndarray:
    box = np.array(one.box_xyxy, float)
    return (box[:2] + box[2:]) / 2


def _window(one: Instance) -> np.ndarray | None:
    """bool [h, w]: the mask inside its own box, which has whole sides; None without a mask."""
    if one.mask is None or not one.mask.area:
        return None
    left, top, right, bottom = (int(edge) for edge in one.mask.box_xyxy)
    return one.mask.crop((left, top, right, bottom)).decode().astype(bool)


def _overlap(
    one: Instance,
    window: np.ndarray | None,
    other: Instance,
    other_window: np.ndarray | None,
    shift: np.ndarray,
    grown: bool,
) -> float:
    """IoU of an object with another that has moved on by `shift` (x, y): of masks, or of boxes.

    Args:
        grown: take the boxes, each grown on all sides.
    """
    if window is None or other_window is None or one.mask is None or other.mask is None:
        moved = np.array(other.box_xyxy, float) + np.tile(shift, 2)
        return _box_iou(np.array(one.box_xyxy, float), moved, grown)
    dx, dy = (round(float(step)) for step in shift)
    left, top = (int(edge) for edge in one.mask.box_xyxy[:2])
    x, y = (int(edge) for edge in other.mask.box_xyxy[:2])
    x, y = x + dx - left, y + dy - top  # of the other, in the one's window
    height, width = window.shape
    rows = slice(max(0, y), min(height, y + other_window.shape[0]))
    columns = slice(max(0, x), min(width, x + other_window.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return 0.0
    theirs = other_window[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    common = int(np.count_nonzero(window[rows, columns] & theirs))
    return common / (one.mask.area + other.mask.area - common)


def _box_iou(one: np.ndarray, other: np.ndarray, grown: bool) -> float:
    if grown:
        one, other = _grown(one), _grown(other)
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(np.prod(np.clip(sides, 0, None)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return common / (areas - common) if areas > common else 0.0


def _grown(box: np.ndarray) -> np.ndarray:
    more = GROWN * (box[2:] - box[:2]) + GROWN_PIXELS
    return np.concatenate([box[:2] - more, box[2:] + more])
