"""Score what anybody's model found, against a labelled set, under named protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.evaluate import require_same_classes
from maskwright.jobs.inspect import Progress
from maskwright.jobs.score_maps import MapScorer, MapScores
from maskwright.jobs.score_objects import RESAMPLES, ObjectScorer, ObjectScores
from maskwright.jobs.score_panoptic import SegmentScorer, SegmentScores
from maskwright.metrics import (
    Interval,
    PairedInterval,
    bootstrap,
    mean_pq,
    paired_interval,
    protocol_of,
)

Find = Callable[[Sample, tuple[int, int]], Segmentation]
"""(sample, its (height, width)) -> what was found in it, such as `Predictions.read`."""


_Draw = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """What was scored of a model's answers.

    Attributes:
        classes: what was told apart.
        maps: of class maps, where truth and prediction have them.
        objects: of boxes or masks with scores.
        panoptic: of panoptic segments.
        images: how many were scored.
        bad: (image, why) of those that were left out, on request.
    """

    classes: Classes
    maps: MapScores | None
    objects: ObjectScores | None
    panoptic: SegmentScores | None
    images: int
    bad: tuple[tuple[str, str], ...] = ()

    def intervals(self) -> dict[str, Interval]:
        """Score -> its 95 % bootstrap interval over the images."""
        found: dict[str, Interval] = {}
        for part in (self.maps, self.objects, self.panoptic):
            found |= part.intervals() if part is not None else {}
        return found

    def numbers(self) -> dict[str, float]:
        """The numbers that stand for the whole, by the names that `intervals` gives them."""
        found: dict[str, float] = {}
        if self.maps is not None:
            areas = self.maps.areas
            found |= {
                "mIoU": areas.miou,
                "FwIoU": areas.fwiou,
                "pixel accuracy": areas.pixel_accuracy,
                "boundary IoU": self.maps.boundary.miou,
                "boundary F": self.maps.outline.mean_f,
                "thin IoU": self.maps.thin.miou,
            }
        if self.objects is not None:
            found |= {f"AP {kind}": scores.ap for kind, scores in self.objects.kinds.items()}
        if self.panoptic is not None:
            found |= {of.upper(): self.panoptic.scores.mean(of) for of in ("pq", "sq", "rq")}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        parts = {"maps": self.maps, "objects": self.objects, "panoptic": self.panoptic}
        return {
            "classes": self.classes.to_dict(),
            "images": self.images,
            "left_out": [{"image": name, "why": why} for name, why in self.bad],
            **{name: part.to_dict() for name, part in parts.items() if part is not None},
        }


def score(
    samples: Sequence[Sample],
    find: Find,
    classes: Classes,
    *,
    tasks: frozenset[Task],
    protocol: str = "coco",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Compare each image's truth with what was found in it.

    Args:
        samples: of the labelled set.
        find: the answer for one of them.
        classes: of the labelled set; the answers must have the same.
        tasks: that the answers hold; those that the truth holds too are scored.
        protocol: for objects, a key of `metrics.PROTOCOLS`.
        skip_bad: leave images out whose truth or answer is at fault, and count them.
        progress: called after each image.

    Raises:
        DataError: nothing that was found is labelled; a file is at fault, without `skip_bad`.
        ConfigError: the answers have other classes; an unknown protocol.
    """
    protocol_of(protocol)  # an unknown name is told even where there are no objects
    scorers = _scorers(samples, classes, tasks, protocol)
    bad: list[tuple[str, str]] = []
    for done, sample in enumerate(samples, start=1):
        try:
            _update(scorers, sample, find, classes)
        except DataError as error:
            if not skip_bad:
                raise
            bad.append((sample.name, str(error)))
        if progress is not None:
            progress(done, len(samples))
    if len(bad) == len(samples):
        raise DataError(f"none of the {len(bad)} images could be scored; the first: {bad[0][1]}")
    return Scores(
        classes=classes,
        maps=scorers.maps.scores() if scorers.maps else None,
        objects=scorers.objects.scores() if scorers.objects else None,
        panoptic=scorers.panoptic.scores() if scorers.panoptic else None,
        images=len(samples) - len(bad),
        bad=tuple(bad),
    )


@dataclass(frozen=True, kw_only=True)
class _Scorers:
    maps: MapScorer | None
    objects: ObjectScorer | None
    panoptic: SegmentScorer | None


def _scorers(
    samples: Sequence[Sample], classes: Classes, tasks: frozenset[Task], protocol: str
) -> _Scorers:
    labelled = frozenset(task for sample in samples for task in sample.tasks)
    common = labelled & tasks
    if not common:
        raise DataError(
            f"the {len(samples)} images are labelled with {_told(labelled)}, but the predictions "
            f"hold {_told(tasks)}: nothing can be compared. Give predictions of the same kind, or "
            "convert one of the two."
        )
    masks = "instances" in common
    return _Scorers(
        maps=MapScorer(classes) if "semantic" in common else None,
        objects=ObjectScorer(classes, protocol, masks=masks) if common & {"instances", "boxes"}
        else None,
        panoptic=SegmentScorer(classes) if "panoptic" in common else None,
    )  # fmt: skip


def _update(scorers: _Scorers, sample: Sample, find: Find, classes: Classes) -> None:
    truth = sample.read_truth()
    found = find(sample, truth.size)
    require_same_classes(found.classes, classes)
    if found.size != truth.size:
        raise DataError(
            f"{sample.name}: expected a prediction of {truth.size} (height, width) as its truth, "
            f"got {found.size}."
        )
    if scorers.maps and truth.semantic is not None and found.semantic is not None:
        scorers.maps.update(sample.name, truth, found)
    if scorers.objects and truth.instances is not None and found.instances is not None:
        scorers.objects.update(sample.name, truth, found)
    if scorers.panoptic and truth.panoptic is not None and found.panoptic is not None:
        scorers.panoptic.update(sample.name, truth, found)


def _told(tasks: frozenset[Task]) -> str:
    return ", ".join(sorted(tasks)) or "nothing"


def find_by(predict: Callable[[np.ndarray], Segmentation]) -> Find:
    """The answers of a model that sees the image itself, such as `Predictor.predict`."""

    def find(sample: Sample, _: tuple[int, int]) -> Segmentation:
        return predict(sample.read_image())

    return find


def compare(first: Scores, second: Scores) -> dict[str, Interval]:
    """Score -> how much better the first is, with the 95 % interval over the same images.

    Raises:
        ConfigError: different images were scored, or nothing alike.
    """
    gains: dict[str, Interval] = {}
    if first.maps is not None and second.maps is not None:
        gains |= first.maps.against(second.maps)
    if first.objects is not None and second.objects is not None:
        names = [[image.name for image in part.images] for part in (first.objects, second.objects)]
        _require_same(*names)
        theirs = second.objects.draws()
        for name, draw in first.objects.draws().items():
            if name in theirs:
                gains[name] = _difference(draw, theirs[name], len(first.objects.images))
    if first.panoptic is not None and second.panoptic is not None:
        _require_same(first.panoptic.images, second.panoptic.images)
        gains["PQ"] = paired_interval(first.panoptic.counts_N, second.panoptic.counts_N, mean_pq)
    if not gains:
        raise ConfigError(
            "the two hold nothing that could be compared: expected class maps, objects or panoptic "
            "segments in both."
        )
    return gains


def _difference(first: _Draw, second: _Draw, images: int) -> PairedInterval:
    both = bootstrap(lambda times: first(times) - second(times), images, resamples=RESAMPLES)
    return PairedInterval(**both.to_dict())


def _require_same(first: Sequence[str], second: Sequence[str]) -> None:
    if list(first) != list(second):
        raise ConfigError(
            f"expected scores of the same images to compare, got {len(first)} and {len(second)} "
            f"with {len(set(first) & set(second))} in common; mend those that were left out."
        )
