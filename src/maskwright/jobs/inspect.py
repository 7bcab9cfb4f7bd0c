"""What a data set holds: sizes, shares, objects, thinness; all counted, nothing sampled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.metrics.thin import white_top_hat

Progress = Callable[[int, int], None]
"""Called with (files done, files in all) after each file."""

THIN_RADIUS = 2
"""Radius in pixels of the disc that tells thin from thick: parts narrower than 5 pixels vanish."""

_SMALL = 32 * 32  # pixels: COCO's border between small and medium objects


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassStats:
    """What is known of one class.

    Attributes:
        name: of the class.
        pixels: in class maps (0 where there are none).
        pixel_share: of all labelled pixels of the class maps, 0..1; NaN without class maps.
        images: how many images it occurs in; as a label of the whole where that is all there is.
        labels: how many images have it as a label of the whole.
        objects: instances; in images without, 8-connected regions of the class map.
        area_quantiles: of the objects' areas in pixels at 5, 50 and 95 %; NaN without objects.
        small_share: of the objects that are smaller than 32x32 pixels.
        thin_share: of the class's pixels (of its objects' masks where there is no class map) that
            an opening with a disc of radius `THIN_RADIUS` removes: those of parts narrower than
            5 pixels, 0..1; NaN where there are no pixels.
    """

    name: str
    pixels: int
    pixel_share: float
    images: int
    labels: int
    objects: int
    area_quantiles: tuple[float, float, float]
    small_share: float
    thin_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """What a data set holds.

    Attributes:
        images: split -> number of images.
        sizes: ((height, width), number of images), the most frequent first.
        classes: one a class, in the order of ids.
        void_share: of all pixels of the class maps; NaN without class maps.
        crowds: objects that are groups (COCO iscrowd); they are not counted as objects.
    """

    images: dict[str, int]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    classes: tuple[ClassStats, ...]
    void_share: float
    crowds: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN becomes None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


@dataclass(kw_only=True)
class _Tally:
    """Counts of one class, as they grow."""

    pixels: int = 0
    thin: int = 0
    opened: int = 0  # pixels that were looked at for thinness
    images: int = 0
    labels: int = 0
    areas: list[float] = field(default_factory=list)


def stats(dataset: Dataset, progress: Progress | None = None) -> Stats:
    """Count what a data set holds. Reads every truth, no image's pixels.

    Args:
        dataset: read strictly, so that it has no faults (`check` finds them).
        progress: called after each file.

    Raises:
        DataError: an annotation can't be read.
    """
    tallies = [_Tally() for _ in dataset.classes.names]
    sizes: Counter[tuple[int, int]] = Counter()
    labelled = void = crowds = 0
    samples = [sample for _, sample in all_samples(dataset)]
    for done, sample in enumerate(samples, start=1):
        truth = sample.read_truth()
        sizes[truth.size] += 1
        if truth.semantic is not None:
            counted = _count_semantic(truth.semantic, tallies, truth.instances is None)
            labelled += counted
            void += truth.semantic.size - counted
        crowds += sum(instance.crowd for instance in truth.instances or ())
        _count_instances(truth, tallies)
        _count_labels(truth, tallies)
        if progress is not None:
            progress(done, len(samples))
    return Stats(
        images={split: len(found) for split, found in dataset.splits.items()},
        sizes=tuple(sizes.most_common()),
        classes=_summaries(dataset.classes, tallies, labelled),
        void_share=_ratio(void, void + labelled),
        crowds=crowds,
    )


def all_samples(dataset: Dataset) -> Iterator[tuple[str, Sample]]:
    """Every split's name with every sample of it."""
    for split, samples in dataset.splits.items():
        for sample in samples:
            yield split, sample


def thin_pixels(inside_HW: np.ndarray, radius: int = THIN_RADIUS) -> int:
    """How many pixels of a region lie in parts too narrow for a disc of `radius` pixels.

    That is the area that a morphological opening removes (J. Serra, Image Analysis and
    Mathematical Morphology, 1982). The image's border doesn't cut: what goes on outside is taken
    to be as wide as inside.

    Args:
        inside_HW: uint8, 1 inside and 0 outside.
        radius: in pixels.
    """
    return int(np.count_nonzero(white_top_hat(inside_HW, radius)))


def _count_semantic(semantic: np.ndarray, tallies: list[_Tally], regions: bool) -> int:
    """Add a class map, and its regions as objects; how many of its pixels are labelled."""
    counts = np.bincount(semantic.ravel(), minlength=len(tallies))[: len(tallies)]
    for class_id in np.flatnonzero(counts).tolist():
        tally = tallies[class_id]
        inside = (semantic == class_id).astype(np.uint8)
        tally.images += 1
        tally.pixels += int(counts[class_id])
        tally.opened += int(counts[class_id])
        tally.thin += thin_pixels(inside)
        if regions:
            found = cv2.connectedComponentsWithStats(inside, connectivity=8)[2]
            tally.areas += found[1:, cv2.CC_STAT_AREA].tolist()
    return int(counts.sum())


def _count_instances(truth: Segmentation, tallies: list[_Tally]) -> None:
    instances = truth.instances or ()
    if truth.semantic is None:
        for class_id in {instance.class_id for instance in instances}:
            tallies[class_id].images += 1
    for instance in instances:
        if instance.crowd:
            continue
        tally = tallies[instance.class_id]
        if instance.mask is None:
            left, top, right, bottom = instance.box_xyxy
            tally.areas.append((right - left) * (bottom - top))
            continue
        tally.areas.append(instance.mask.area)
        if truth.semantic is None:
            tally.opened += instance.mask.area
            tally.thin += thin_pixels(instance.mask.decode().astype(np.uint8))


def _count_labels(truth: Segmentation, tallies: list[_Tally]) -> None:
    alone = truth.semantic is None and truth.instances is None
    for class_id in {label.class_id for label in truth.labels or ()}:
        tallies[class_id].labels += 1
        tallies[class_id].images += alone


def _summaries(classes: Classes, tallies: list[_Tally], labelled: int) -> tuple[ClassStats, ...]:
    return tuple(
        ClassStats(
            name=name,
            pixels=tally.pixels,
            pixel_share=_ratio(tally.pixels, labelled),
            images=tally.images,
            labels=tally.labels,
            objects=len(tally.areas),
            area_quantiles=_quantiles(tally.areas),
            small_share=_ratio(sum(area < _SMALL for area in tally.areas), len(tally.areas)),
            thin_share=_ratio(tally.thin, tally.opened),
        )
        for name, tally in zip(classes.names, tallies)
    )


def _quantiles(areas: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(areas, (0.05, 0.5, 0.95)) if areas else (math.nan,) * 3
    return float(low), float(middle), float(high)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
