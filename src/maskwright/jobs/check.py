"""Look for everything that is wrong with a data set, without stopping at the first fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.duplicates import Fingerprint, fingerprint, near_duplicates
from maskwright.jobs.inspect import Progress, all_samples

Severity = Literal["error", "warning", "info"]

Box = tuple[float, float, float, float]

_ROUNDING = 2.5  # pixels that edges of a box and its mask may differ by
_ALIKE = 0.7  # IoU, above which they agree

_TRAINING_SPLITS = ("train", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing to know about a data set.

    Attributes:
        severity: "error": this sample can't be used; "warning": likely a mistake; "info": to know.
        kind: "unreadable-image", "bad-annotation", "empty", "bad-box", "unused-class",
            "unseen-class", "nothing-labelled", "only-void", "only-crowds" or "near-duplicate".
        file: the image as split/name, or the class.
        message: a whole sentence.
    """

    severity: Severity
    kind: str
    file: str
    message: str


def check(dataset: Dataset, progress: Progress | None = None) -> list[Finding]:
    """Read every image and annotation and collect what is wrong.

    Missing, damaged and misfitting files are errors; so that they are met here, sample by sample,
    read the set with `formats.read(path, strict=False)`. What the reader itself had to leave out
    stands in `dataset.notes`.

    Args:
        dataset: read with `strict=False`.
        progress: called after each file.

    Returns:
        Findings, errors first; an empty list says that nothing was found.
    """
    findings: list[Finding] = []
    used: dict[str, np.ndarray] = {}
    readable: set[str] = set()
    void: set[str] = set()
    crowds: Counter[bool] = Counter()
    prints: dict[str, dict[str, Fingerprint]] = defaultdict(dict)
    samples = list(all_samples(dataset))
    for done, (split, sample) in enumerate(samples, start=1):
        name = f"{split}/{sample.name}"
        seen = used.setdefault(split, np.zeros(len(dataset.classes), bool))
        findings += _check_image(name, sample, prints[split])
        told = list(_check_truth(name, sample, seen, void, crowds))
        if all(finding.kind != "bad-annotation" for finding in told):
            readable.add(split)
        findings += told
        if progress is not None:
            progress(done, len(samples))
    findings += _check_splits(used, readable)
    findings += _check_void(dataset, used, void)
    findings += _check_crowds(dataset, crowds)
    findings += _check_classes(dataset, used)
    findings += _check_duplicates(prints)
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])


def _check_image(name: str, sample: Sample, prints: dict[str, Fingerprint]) -> Iterator[Finding]:
    try:
        prints[name] = fingerprint(sample.read_picture())
    except DataError as error:
        yield Finding(severity="error", kind="unreadable-image", file=name, message=str(error))


def _check_truth(
    name: str, sample: Sample, used: np.ndarray, void: set[str], crowds: Counter[bool]
) -> Iterator[Finding]:
    try:
        truth = sample.read_truth()
    except DataError as error:
        yield Finding(severity="error", kind="bad-annotation", file=name, message=str(error))
        return
    if truth.semantic is not None:
        counts = np.bincount(truth.semantic.ravel(), minlength=len(used))[: len(used)]
        used |= counts > 0
        void.update([name] if counts.sum() < truth.semantic.size else [])
        if not counts.any():
            yield Finding(
                severity="warning",
                kind="empty",
                file=name,
                message=f"{name}: every pixel is void, so nothing is learned from it; label it or "
                "take it out.",
            )
    used[[label.class_id for label in truth.labels or ()]] = True
    if truth.instances is not None:
        crowds.update(one.crowd for one in truth.instances)
        yield from _check_instances(name, truth, used)


def _check_instances(name: str, truth: Segmentation, used: np.ndarray) -> Iterator[Finding]:
    instances = truth.instances or ()
    height, width = truth.size
    used[[instance.class_id for instance in instances]] = True
    if not instances and truth.semantic is None:
        yield Finding(
            severity="info",
            kind="empty",
            file=name,
            message=f"{name} has no objects; right if none are in the picture.",
        )
    for number, instance in enumerate(instances):
        left, top, right, bottom = instance.box_xyxy
        flat = right <= left or bottom <= top
        nothing = instance.mask is not None and instance.mask.area == 0
        # A pixel beyond the border is rounding; more is a mistake of units or of the image.
        outside = left < -1 or top < -1 or right > width + 1 or bottom > height + 1
        if flat or nothing or outside:
            what = "no pixel" if nothing else "no area" if flat else "a part outside the image"
            yield Finding(
                severity="warning",
                kind="bad-box",
                file=name,
                message=f"{name}: object {number} ({truth.classes.names[instance.class_id]}) has "
                f"{what}: its box is {tuple(round(edge, 1) for edge in instance.box_xyxy)} in an "
                f"image of {height}x{width}.",
            )
        elif instance.mask is not None and _disagree(instance.box_xyxy, instance.mask.box_xyxy):
            stated, drawn = (
                tuple(round(edge, 1) for edge in box)
                for box in (instance.box_xyxy, instance.mask.box_xyxy)
            )
            yield Finding(
                severity="warning",
                kind="bad-box",
                file=name,
                message=f"{name}: object {number} ({truth.classes.names[instance.class_id]}) has "
                f"the box {stated}, but its mask lies in {drawn} (left, top, right, bottom): "
                "expected both to agree. COCO's boxes are [left, top, width, height].",
            )


def _disagree(box: Box, other: Box) -> bool:
    """Whether boxes differ by more than what rounding and half-drawn borders explain."""
    far = max(abs(one - two) for one, two in zip(box, other, strict=True))
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
    return far > _ROUNDING and shared < _ALIKE * (sum(areas) - shared)


def _check_crowds(dataset: Dataset, crowds: Counter[bool]) -> Iterator[Finding]:
    """Sets whose every object is a crowd."""
    if crowds[True] and not crowds[False]:
        way = "; if they are single objects, as CVAT writes masks, read the set with --read "
        message = (
            f"every object ({crowds[True]}) is a crowd, which no score counts as found or missed"
            + (f"{way}crowds=objects." if dataset.format == "coco" else ".")
        )
        yield Finding(
            severity="warning", kind="only-crowds", file=str(dataset.root), message=message
        )


def _check_splits(used: dict[str, np.ndarray], readable: set[str]) -> Iterator[Finding]:
    """Splits that `train` refuses, or that no score can be taken on."""
    for split, seen in used.items():
        if split in readable and not seen.any():
            message = (
                f"no image of {split} holds any class; expected labelled pixels, objects or "
                "labels. Check the ids in the files and what is ignored."
            )
            yield Finding(severity="error", kind="nothing-labelled", file=split, message=message)


def _check_void(dataset: Dataset, used: dict[str, np.ndarray], void: set[str]) -> Iterator[Finding]:
    """Masks of 0 and 255 where 255 was meant as a class."""
    seen = np.flatnonzero(np.any(list(used.values()), axis=0)) if used else np.array([], int)
    names = dataset.classes.names
    if seen.tolist() == [0] and len(names) > 1 and void:
        message = (
            f"every labelled pixel is {names[0]}, and in {len(void)} images the rest is void "
            f"({dataset.classes.void}): if that is meant as {names[1]}, save it as 1."
        )
        yield Finding(severity="warning", kind="only-void", file=str(dataset.root), message=message)


def _check_classes(dataset: Dataset, used: dict[str, np.ndarray]) -> Iterator[Finding]:
    anywhere = np.any(list(used.values()), axis=0)
    training = [seen for split, seen in used.items() if split in _TRAINING_SPLITS]
    learned = np.any(training, axis=0) if training else anywhere
    for index, name in enumerate(dataset.classes.names):
        if not anywhere[index]:
            message = f"class {name} occurs nowhere; drop it, or check the ids of the masks."
            yield Finding(severity="warning", kind="unused-class", file=name, message=message)
        elif not learned[index]:
            splits = ", ".join(split for split, seen in used.items() if seen[index])
            message = f"class {name} occurs in {splits}, but never in train; it can't be learned."
            yield Finding(severity="warning", kind="unseen-class", file=name, message=message)


def _check_duplicates(prints: dict[str, dict[str, Fingerprint]]) -> Iterator[Finding]:
    for ours, others in combinations(prints, 2):
        names, other_names = list(prints[ours]), list(prints[others])
        pairs = near_duplicates(list(prints[ours].values()), list(prints[others].values()))
        for index, other, likeness in pairs:
            yield Finding(
                severity="warning",
                kind="near-duplicate",
                file=names[index],
                message=f"{names[index]} and {other_names[other]} show the same picture "
                f"(correlation {likeness:.3f}): scores on {others} are too good; keep one.",
            )
