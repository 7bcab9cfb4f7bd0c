"""Average precision of boxes, masks and boundaries under any protocol, from one pass over images.

What images show is compared once (`matching.py`); each protocol then matches and counts
(`assignment.py`, `curves.py`, `ap_scores.py`): several of them need no second pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.mask import Mask
from maskwright.core.segmentation import Segmentation
from maskwright.metrics.ap_scores import APScores, PRCurve, exact_curve, score_verdicts
from maskwright.metrics.assignment import judge
from maskwright.metrics.matching import Overlaps, find_overlaps
from maskwright.metrics.objects import Objects
from maskwright.metrics.overlap_arrays import overlaps_from_arrays, overlaps_to_arrays
from maskwright.metrics.protocols import KINDS, Kind, Protocol, protocol_of

_OBJECTS_AT_ONCE = 2000
"""So many detections are compared together: enough to be fast, few enough to stay small."""


def average_precision(
    truths: Sequence[Segmentation],
    predictions: Sequence[Segmentation],
    *,
    protocol: str | Protocol = "coco",
    kind: Kind = "masks",
    max_detections: Sequence[int] | None = None,
) -> APScores:
    """Score the predicted instances of some images.

    Args:
        truths: of each image; `crowd` marks groups (COCO, Cityscapes) or difficult ones (VOC).
        predictions: of the same images in the same order; an instance without a score counts as 1.
        protocol: a key of `PROTOCOLS`, or one of your own.
        kind: what is compared: "boxes", "masks" or "boundary".
        max_detections: limits instead of the protocol's, such as (1, 10, 300).

    Raises:
        DataError: the lists or the masks' sizes don't fit, masks lack, or a number isn't finite.
        ConfigError: an unknown protocol or kind.
    """
    if len(truths) != len(predictions) or not len(truths):
        raise DataError(
            f"expected truth and prediction of the same images, at least one, got {len(truths)} "
            f"and {len(predictions)}."
        )
    names = truths[0].classes.names
    scores = AveragePrecision(names, kinds=(kind,))
    for truth, prediction in zip(truths, predictions):
        scores.update(truth, prediction)
    return scores.scores(protocol, max_detections=max_detections)


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionVerdicts:
    """What became of each detection, by image, class and falling score; for the worst images.

    Attributes:
        image, class_id: int64 [D].
        score: float64 [D].
        status: int8 [T, D] for each threshold: 1 right, 0 wrong, -1 ignored.
        truth: int64 [T, D], row of `truths` that it matches; -1: none.
        truths: the truth of all images (without masks).
        counted: bool [G], which of those are to be found.
    """

    image: np.ndarray
    class_id: np.ndarray
    score: np.ndarray
    status: np.ndarray
    truth: np.ndarray
    truths: Objects
    counted: np.ndarray


class AveragePrecision:
    """Adds up images; a thin layer over `find_overlaps`, `judge` and `score_verdicts`.

    Masks are compared and dropped as images come in; what is kept is some 70 bytes a detection.

    Args:
        names: of the classes.
        kinds: what `scores` may be asked for: any of "boxes", "masks", "boundary".

    Raises:
        ConfigError: no kind, or an unknown one.
    """

    def __init__(self, names: Sequence[str], *, kinds: Sequence[Kind] = ("masks",)) -> None:
        if not kinds or not set(kinds) <= set(KINDS):
            raise ConfigError(f"expected kinds among {', '.join(KINDS)}, got {tuple(kinds)}.")
        self.names = tuple(names)
        self.kinds: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind in kinds)
        self._images: set[int] = set()
        self._numbered: bool | None = None
        self._waiting: list[tuple[int, Segmentation, Segmentation, np.ndarray]] = []
        self._waiting_objects = 0
        self._parts: list[Overlaps] = []

    @property
    def images(self) -> int:
        """How many images were added."""
        return len(self._images)

    def update(
        self,
        truth: Segmentation,
        prediction: Segmentation,
        *,
        image: int | None = None,
        truth_areas: Sequence[float] | None = None,
    ) -> None:
        """Add one image.

        Args:
            truth: its instances. Pixels of void in its class map, if it has one, are void for
                `cityscapes`.
            prediction: its instances; without a score they count as 1.
            image: its number, for equal scores: they are ranked by image number, as pycocotools
                does by image id. Needed for all images or for none (then: as they come).
            truth_areas: of each true instance in pixels, as a COCO file tells them; by default
                those of the masks, or of the boxes where there are none.

        Raises:
            DataError: instances or masks are unknown, sizes differ, or the number came before.
        """
        number = self._number(image)
        for what, content in (("truth", truth), ("prediction", prediction)):
            if content.instances is None:
                raise DataError(
                    f"image {number}: expected the instances of the {what}, got None; an image "
                    "without objects has an empty tuple."
                )
        if truth.size != prediction.size:
            raise DataError(
                f"image {number}: expected a prediction of the truth's size {truth.size}, got "
                f"{prediction.size} (height, width)."
            )
        areas = _checked_areas(truth_areas, number, truth)
        self._images.add(number)
        self._numbered = image is not None
        self._waiting.append((number, truth, prediction, areas))
        self._waiting_objects += len(prediction.instances or ()) + 10
        if self._waiting_objects >= _OBJECTS_AT_ONCE:
            self._compare_waiting()

    def update_arrays(
        self,
        truth: Objects,
        detections: Objects,
        *,
        images: Sequence[int],
        void: Sequence[tuple[int, Mask]] = (),
    ) -> None:
        """Add many images at once as arrays.

        Args:
            truth, detections: the objects of these images.
            images: the numbers of all of them, those without any object as well.
            void: image number and its void pixels.

        Raises:
            DataError: an image came before, or an object's image is not among `images`.
        """
        known = np.array(sorted(set(images)), np.int64)
        for objects in (truth, detections):
            strange = np.setdiff1d(objects.image, known)
            if len(strange):
                raise DataError(f"expected objects of the images given, got one of {strange[0]}.")
        self._check_classes(truth, detections)
        for number in known.tolist():
            self._number(number)
        self._parts.append(find_overlaps(truth, detections, self.kinds, void))
        self._images |= set(known.tolist())
        self._numbered = True

    def merge(self, other: AveragePrecision) -> None:
        """Add what another one has seen, such as another process's share of the images.

        Images without numbers are counted on from ours.

        Raises:
            ConfigError: other classes or kinds, numbered images in one only, or the same in both.
        """
        if (other.names, other.kinds) != (self.names, self.kinds):
            raise ConfigError(
                f"can't merge scores of {other.kinds} for {len(other.names)} classes into those of "
                f"{self.kinds} for {len(self.names)}; expected the same kinds and names."
            )
        if not other._images:
            return
        if self._images and self._numbered is not other._numbered:
            raise ConfigError("expected numbered images in both or in neither, got one of each.")
        shift = 0 if other._numbered else len(self._images)
        moved = {number + shift for number in other._images}
        if moved & self._images:
            raise ConfigError(
                f"image {min(moved & self._images)} is in both; each process must score its own."
            )
        self._numbered = other._numbered
        self._images |= moved
        self._parts += [_moved(part, shift) for part in other._all_parts()]

    def scores(
        self,
        protocol: str | Protocol = "coco",
        *,
        kind: Kind | None = None,
        max_detections: Sequence[int] | None = None,
    ) -> APScores:
        """Scores so far, under any protocol.

        Args:
            protocol: a key of `PROTOCOLS`, or one of your own.
            kind: one of `kinds`; the first of them if not given.
            max_detections: limits instead of the protocol's.

        Raises:
            ConfigError: an unknown protocol, or a kind that was not compared.
        """
        rules, chosen = protocol_of(protocol, max_detections), self._kind(kind)
        overlaps = self.overlaps()
        verdicts = judge(overlaps, chosen, rules)
        return score_verdicts(overlaps, verdicts, chosen, rules, self.names, self.images)

    def curve(
        self,
        class_id: int | None = None,
        *,
        iou: float = 0.5,
        protocol: str | Protocol = "coco",
        kind: Kind | None = None,
    ) -> PRCurve:
        """Precision and recall after each detection of a class; of all, pooled, if none is given.

        Raises:
            ConfigError: an unknown protocol, a kind not compared, or an IoU outside 0.5..1.
        """
        rules = protocol_of(replace(protocol_of(protocol), ious=(iou,)))
        overlaps = self.overlaps()
        return exact_curve(overlaps, judge(overlaps, self._kind(kind), rules), class_id, 0)

    def verdicts(
        self, protocol: str | Protocol = "coco", *, kind: Kind | None = None
    ) -> DetectionVerdicts:
        """What became of each detection, for lists of mistakes and worst images.

        Raises:
            ConfigError: an unknown protocol, or a kind that was not compared.
        """
        overlaps = self.overlaps()
        rules = protocol_of(protocol)
        judged = judge(overlaps, self._kind(kind), rules)
        found, rows = overlaps.detections, judged.detection
        return DetectionVerdicts(
            image=found.image[rows],
            class_id=found.class_id[rows],
            score=found.score[rows],
            status=judged.status(0, len(rules.ious)),
            truth=judged.truth(0, len(rules.ious)),
            truths=overlaps.truth,
            counted=judged.counted[0],
        )

    def counted_on(self) -> AveragePrecision:
        """The same images in the order of their numbers, numbered as they come: 0, 1, 2, ..."""
        overlaps, numbers = self.overlaps(), np.array(sorted(self._images), np.int64)
        truth, found = (
            replace(objects, image=np.searchsorted(numbers, objects.image))
            for objects in (overlaps.truth, overlaps.detections)
        )
        made = AveragePrecision(self.names, kinds=self.kinds)
        made._parts = [replace(overlaps, truth=truth, detections=found)]
        made._images = set(range(len(numbers)))
        made._numbered = False
        return made

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was compared, as plain arrays of numbers; `from_arrays` reads them back."""
        numbers = np.array(sorted(self._images), np.int64)
        return {**overlaps_to_arrays(self.overlaps()), "images": numbers}

    @classmethod
    def from_arrays(
        cls, names: Sequence[str], arrays: Mapping[str, np.ndarray], *, kinds: Sequence[Kind]
    ) -> Self:
        """Inverse of `arrays`; images are counted on from these where more come.

        Args:
            names: of the classes.
            arrays: by name.
            kinds: that were compared.
        """
        made = cls(names, kinds=kinds)
        made._parts = [overlaps_from_arrays(arrays, made.kinds)]
        made._images = set(arrays["images"].tolist())
        made._numbered = made._images != set(range(len(made._images)))
        return made

    def overlaps(self) -> Overlaps:
        """All that was compared so far, in the order of the images' numbers within equal scores."""
        parts = self._all_parts()
        if len(parts) > 1:
            self._parts = parts = [_joined(parts)]
        if not parts:
            empty = Objects.of([])
            return find_overlaps(empty, empty, self.kinds)
        return parts[0]

    def _all_parts(self) -> list[Overlaps]:
        if self._waiting:
            self._compare_waiting()
        return self._parts

    def _compare_waiting(self) -> None:
        waiting, self._waiting, self._waiting_objects = self._waiting, [], 0
        truth = Objects.of([(number, content) for number, content, _, _ in waiting])
        masks = self.kinds != ("boxes",)
        found = [(number, content) for number, _, content, _ in waiting]
        detections = Objects.of(found, masks=masks)
        truth = replace(truth, area=np.concatenate([areas for _, _, _, areas in waiting]))
        self._check_classes(truth, detections)
        void = [
            (number, Mask.encode(content.semantic == content.classes.void))
            for number, content, _, _ in waiting
            if content.semantic is not None and (content.semantic == content.classes.void).any()
        ]
        self._parts.append(find_overlaps(truth, detections, self.kinds, void))

    def _check_classes(self, *all_objects: Objects) -> None:
        for objects in all_objects:
            wrong = (objects.class_id < 0) | (objects.class_id >= len(self.names))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise DataError(
                    f"image {objects.image[at]}: class id {objects.class_id[at]}, expected "
                    f"0..{len(self.names) - 1}."
                )

    def _number(self, image: int | None) -> int:
        if self._numbered not in (None, image is not None):
            raise ConfigError("expected a number for every image or for none, got both.")
        number = len(self._images) if image is None else image
        if number in self._images:
            raise DataError(f"image {number} came before; each image is scored once.")
        return number

    def _kind(self, kind: Kind | None) -> Kind:
        chosen = self.kinds[0] if kind is None else kind
        if chosen not in self.kinds:
            raise ConfigError(f"expected a kind that was compared, {self.kinds}, got {chosen!r}.")
        return chosen


def _checked_areas(areas: Sequence[float] | None, number: int, truth: Segmentation) -> np.ndarray:
    expected = len(truth.instances or ())
    if areas is not None and len(areas) != expected:
        raise DataError(f"image {number}: expected {expected} areas of truth, got {len(areas)}.")
    return np.full(expected, np.nan) if areas is None else np.asarray(areas, np.float64)


def _moved(part: Overlaps, shift: int) -> Overlaps:
    return replace(
        part,
        truth=replace(part.truth, image=part.truth.image + shift),
        detections=replace(part.detections, image=part.detections.image + shift),
    )


def _joined(parts: Sequence[Overlaps]) -> Overlaps:
    before_d = np.cumsum([0] + [len(part.detections) for part in parts])
    before_g = np.cumsum([0] + [len(part.truth) for part in parts])
    kinds = parts[0].iou
    void = [
        np.zeros(len(part.detections)) if part.void_share is None else part.void_share
        for part in parts
    ]
    return Overlaps(
        truth=_joined_objects([part.truth for part in parts]),
        detections=_joined_objects([part.detections for part in parts]),
        detection_area={k: np.concatenate([p.detection_area[k] for p in parts]) for k in kinds},
        of_detection=np.concatenate([p.of_detection + b for p, b in zip(parts, before_d)]),
        of_truth=np.concatenate([p.of_truth + b for p, b in zip(parts, before_g)]),
        iou={k: np.concatenate([p.iou[k] for p in parts]) for k in kinds},
        share={k: np.concatenate([p.share[k] for p in parts]) for k in kinds},
        void_share=np.concatenate(void) if any(p.void_share is not None for p in parts) else None,
    )


def _joined_objects(parts: Sequence[Objects]) -> Objects:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Objects(
        image=column("image"),
        class_id=column("class_id"),
        box_xywh=column("box_xywh"),
        score=column("score"),
        crowd=column("crowd"),
        area=column("area"),
    )
