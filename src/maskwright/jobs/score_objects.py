"""Boxes and masks with confidences scored under a named protocol, boundaries of masks too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score_task import Arrays, Draw, Headline, Images, pack, unpack
from maskwright.metrics import APScores, AveragePrecision, PRCurve, ap_of_draws
from maskwright.metrics.protocols import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectTally:
    """One image at the confidence that suits the whole set best, and IoU 0.5.

    Attributes:
        name: the image's.
        true_positives: detections that match a true object.
        false_positives: detections that match none.
        false_negatives: true objects that no detection matches.
    """

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where nothing was there and nothing was found."""
        mistakes = self.false_positives + self.false_negatives
        both = 2 * self.true_positives
        return both / (both + mistakes) if both or mistakes else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScores:
    """Scores of objects over N images.

    Attributes:
        classes: what was told apart.
        names: of the images.
        protocol: key of `metrics.PROTOCOLS`.
        seen: what was compared, its images numbered in the order of the names.
    """

    classes: Classes
    names: tuple[str, ...]
    protocol: str
    seen: AveragePrecision

    @property
    def resamples(self) -> int:
        """Of an interval: each of them ranks all detections anew."""
        return 500

    @cached_property
    def kinds(self) -> Mapping[Kind, APScores]:
        """ "masks", "boundary", "boxes" -> average precision and recall, the headline's first."""
        return {kind: self.seen.scores(self.protocol, kind=kind) for kind in _told_first(self.seen)}

    @property
    def first(self) -> APScores:
        """Of masks where there are any, else of boxes."""
        return next(iter(self.kinds.values()))

    @cached_property
    def curves(self) -> Mapping[str, PRCurve]:
        """Class -> precision and recall at IoU 0.5 of the first kind; "" pools all."""
        found = {"": self._curve(None)}
        return found | {name: self._curve(k) for k, name in enumerate(self.classes.names)}

    @cached_property
    def confidence(self) -> float:
        """Where F1 at IoU 0.5, all classes pooled, is best; NaN without detections."""
        return _best_confidence(self._curve(None))

    @cached_property
    def tallies(self) -> tuple[ObjectTally, ...]:
        """Each image at that confidence."""
        verdicts = self.seen.verdicts(self.protocol, kind=_told_first(self.seen)[0])
        count = len(self.names)
        sure = verdicts.score >= self.confidence
        status = verdicts.status[0]

        def per_image(image: np.ndarray) -> np.ndarray:
            return np.bincount(image, minlength=count)

        right = per_image(verdicts.image[sure & (status == 1)])
        wrong = per_image(verdicts.image[sure & (status == 0)])
        there = per_image(verdicts.truths.image[verdicts.counted])
        return tuple(
            ObjectTally(
                name=name,
                true_positives=int(r),
                false_positives=int(w),
                false_negatives=int(t - r),
            )
            for name, r, w, t in zip(self.names, right, wrong, there)
        )

    def headline(self) -> Headline:
        """AP under the protocol, of masks where there are any, else of boxes."""
        kind = _told_first(self.seen)[0]
        return Headline(name=f"AP {kind}", value=self.first.ap)

    def numbers(self) -> dict[str, float]:
        """AP of each kind."""
        return {f"AP {kind}": scores.ap for kind, scores in self.kinds.items()}

    def class_scores(self) -> tuple[float, ...]:
        """AP of each class; NaN where it has none."""
        return tuple(self.first.class_ap.tolist())

    def row(self) -> dict[str, float]:
        """ap_masks or ap_boxes."""
        return {self.headline().name.replace(" ", "_").lower(): self.first.ap}

    def image_scores(self) -> np.ndarray:
        """F1 of each image at the best confidence, float64 [N]."""
        return np.array([tally.f1 for tally in self.tallies])

    def draws(self) -> dict[str, Draw]:
        """AP of each kind for images drawn several times."""
        return {
            f"AP {kind}": ap_of_draws(self.seen, scores.protocol, kind=kind)
            for kind, scores in self.kinds.items()
        }

    def arrays(self) -> Arrays:
        """All that was compared, the protocol and the names."""
        facts = {"names": self.names, "protocol": self.protocol, "kinds": self.seen.kinds}
        return {**self.seen.arrays(), "facts": pack(facts)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`."""
        facts = unpack(arrays["facts"])
        return cls(
            classes=classes,
            names=tuple(facts["names"]),
            protocol=facts["protocol"],
            seen=AveragePrecision.from_arrays(classes.names, arrays, kinds=facts["kinds"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        kinds = ("true_positives", "false_positives", "false_negatives")
        return {
            **{kind: scores.to_dict() for kind, scores in self.kinds.items()},
            "best_confidence": None if math.isnan(self.confidence) else self.confidence,
            "images": [
                {"name": tally.name, **{kind: getattr(tally, kind) for kind in kinds}}
                for tally in self.tallies
            ],
        }

    def _curve(self, class_id: int | None) -> PRCurve:
        kind = _told_first(self.seen)[0]
        return self.seen.curve(class_id, protocol=self.protocol, kind=kind)


class ObjectScorer:
    """Collects one image after the other.

    Args:
        classes: what is told apart.
        protocol: key of `metrics.PROTOCOLS`.
        masks: compare masks, not boxes alone.
        detail: with masks, compare their boundaries and boxes, too.
    """

    def __init__(
        self, classes: Classes, protocol: str, *, masks: bool, detail: bool = True
    ) -> None:
        self.classes, self.protocol = classes, protocol
        kinds: tuple[Kind, ...] = ("boxes",)
        if masks:
            kinds = ("masks", "boundary", "boxes") if detail else ("masks",)
        self._seen = AveragePrecision(classes.names, kinds=kinds)
        self.known = tuple(f"AP {kind}" for kind in kinds)
        self._images = Images()

    def update(
        self, name: str, truth: Segmentation, found: Segmentation, place: int | None = None
    ) -> None:
        """Add one image, both with objects; see `TaskScorer.update`.

        Raises:
            DataError: sizes differ, or an object lacks its mask.
        """
        self._seen.update(truth, found, image=place, truth_areas=_areas(truth))
        self._images.add(name, place)

    def merge(self, other: ObjectScorer) -> None:
        """Add another one's images.

        Raises:
            ConfigError: another protocol, kinds or classes, or a place that is taken.
        """
        if other.protocol != self.protocol:
            raise ConfigError(
                f"can't merge scores by {other.protocol} into those by {self.protocol}."
            )
        self._seen.merge(other._seen)
        self._images.merge(other._images)

    def scores(self) -> ObjectScores | None:
        """Of the images so far; None without any."""
        if not len(self._images):
            return None
        return ObjectScores(
            classes=self.classes,
            names=self._images.names(),
            protocol=self.protocol,
            seen=self._seen.counted_on(),
        )


def _told_first(seen: AveragePrecision) -> Sequence[Kind]:
    """Masks, their boundaries, then boxes."""
    order: tuple[Kind, ...] = ("masks", "boundary", "boxes")
    return [kind for kind in order if kind in seen.kinds]


def _areas(truth: Segmentation) -> list[float] | None:
    """As the annotation file states them; NaN where it doesn't, None where it never does."""
    stated = [one.area for one in truth.instances or ()]
    if all(area is None for area in stated):
        return None
    return [math.nan if area is None else area for area in stated]


def _best_confidence(curve: PRCurve) -> float:
    """The lowest score whose F1 is the best; NaN without detections."""
    total = curve.precision + curve.recall
    f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total),
                   where=total > 0)  # fmt: skip
    return float(curve.score[int(np.argmax(f1))]) if len(f1) else float("nan")
