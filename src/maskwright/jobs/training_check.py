"""What can be known of a set before a network is trained on it, from its truth alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats.folders import image_sizes, shortlist
from maskwright.jobs.duplicates import Fingerprint, near_duplicates
from maskwright.jobs.inspect import Progress

Counts = Mapping[Task, Mapping[str, np.ndarray]]
"""Task -> split -> int64 [N, K]: pixels (objects, labels) of each of K classes in each image."""

_TRAINING, _SCORED = ("train", "all"), ("val", "test")

_UNITS: dict[Task, tuple[str, str]] = {
    "semantic": ("a class map", "labelled pixel"),
    "panoptic": ("panoptic segments", "labelled pixel"),
    "instances": ("objects with masks", "object with a mask"),
    "boxes": ("objects", "object"),
    "labels": ("image labels", "image label"),
}
"""Task -> its truth, and one piece of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingCheck:
    """What was found.

    Attributes:
        refusals: why training makes no sense; a sentence each, none where it does.
        remarks: what the user should know before waiting; a sentence each.
        aspects: (width / height rounded to 0.01, number of images), the most frequent first.
        counts: as given or read, so that nobody needs to read the truth again.
    """

    refusals: tuple[str, ...]
    remarks: tuple[str, ...]
    aspects: tuple[tuple[float, int], ...]
    counts: Counts

    def require(self) -> None:
        """Refuse the set where there is a reason to.

        Raises:
            DataError: all `refusals`.
        """
        if self.refusals:
            raise DataError(" ".join(self.refusals))


def check_for_training(
    dataset: Dataset,
    tasks: Collection[Task],
    *,
    counts: Counts | None = None,
    prints: Mapping[str, Sequence[Fingerprint]] | None = None,
    progress: Progress | None = None,
) -> TrainingCheck:
    """Tell whether training on a set can come to anything, at the cost of reading its truth once.

    Args:
        dataset: its split train (or all) is learned from, val (where it lacks, test) is scored on;
            other splits aren't looked at.
        tasks: that the network is to learn.
        counts: of tasks and splits that were counted before; for these no truth is read, and sizes
            come from the images' headers.
        prints: split -> `duplicates.fingerprint` of its images, in order; without them no
            near-duplicates are looked for, for that needs every image decoded.
        progress: called after each sample whose truth was read.

    Returns:
        Reasons to refuse, remarks, and the images' shapes.

    Raises:
        DataError: an annotation or an image's header can't be read.
    """
    scored = next((split for split in _SCORED if split in dataset.splits), None)
    roles = [split for split in dataset.splits if split == scored or split in _TRAINING]
    counted, sizes = _count(dataset, roles, tasks, counts or {}, progress)
    refusals: list[str] = []
    remarks: list[str] = []
    for task in sorted(tasks):
        for split in roles:
            own = counted[task][split]
            refusals += _refusal(dataset, split, task, own)
            remarks += _bare_images(dataset, split, task, own)
        if not refusals:
            remarks += _classes(dataset, task, counted[task])
    remarks += _twins(dataset, prints or {})
    aspects = Counter(round(width / height, 2) for height, width in sizes)
    return TrainingCheck(
        refusals=tuple(refusals),
        remarks=tuple(remarks),
        aspects=tuple(aspects.most_common()),
        counts=counted,
    )


def count_truth(truth: Segmentation, task: Task) -> np.ndarray:
    """What an image teaches of each class: int64 [K].

    Pixels of class maps and panoptic segments, void left out; objects with a mask, objects, crowds
    left out; labels.
    """
    classes = len(truth.classes)
    if task == "semantic" and truth.semantic is not None:
        return np.bincount(truth.semantic.ravel(), minlength=classes)[:classes]
    if task == "panoptic" and truth.panoptic is not None:
        numbers, areas = np.unique(truth.panoptic.segment_ids, return_counts=True)
        found = np.zeros(classes, np.int64)
        for number, area in zip(numbers.tolist(), areas.tolist()):
            if number in truth.panoptic.class_of and number not in truth.panoptic.crowds:
                found[truth.panoptic.class_of[number]] += area
        return found
    ids: list[int] = []
    if task in ("instances", "boxes"):
        objects = [one for one in truth.instances or () if not one.crowd]
        ids = [one.class_id for one in objects if task == "boxes" or _is_drawn(one.mask)]
    elif task == "labels":
        ids = [one.class_id for one in truth.labels or ()]
    return np.bincount(np.array(ids, np.int64), minlength=classes)


def _is_drawn(mask: object) -> bool:
    return bool(getattr(mask, "area", 0))


def _count(
    dataset: Dataset,
    roles: Sequence[str],
    tasks: Collection[Task],
    known: Counts,
    progress: Progress | None,
) -> tuple[dict[Task, dict[str, np.ndarray]], list[tuple[int, int]]]:
    """The counts of all tasks, and every image's (height, width)."""
    total = sum(len(dataset.splits[split]) for split in roles)
    counted: dict[Task, dict[str, np.ndarray]] = {task: {} for task in tasks}
    sizes: list[tuple[int, int]] = []
    for split in roles:
        samples = dataset.splits[split]
        todo = [task for task in tasks if split not in known.get(task, {})]
        fresh = {task: np.zeros((len(samples), len(dataset.classes)), np.int64) for task in todo}
        for place, sample in enumerate(samples):
            wanted = [task for task in todo if task in sample.tasks]
            if wanted:
                truth = sample.read_truth()
                sizes.append(truth.size)
                for task in wanted:
                    fresh[task][place] = count_truth(truth, task)
            else:
                sizes.append(_size_of(sample))
            if progress is not None:
                progress(len(sizes), total)
        for task in tasks:
            counted[task][split] = fresh[task] if task in fresh else known[task][split]
    return counted, sizes


def _size_of(sample: Sample) -> tuple[int, int]:
    if isinstance(sample.image, Path):
        return image_sizes(sample.image)[0]
    return sample.image.shape[0], sample.image.shape[1]


def _refusal(dataset: Dataset, split: str, task: Task, own: np.ndarray) -> Iterator[str]:
    truth, unit = _UNITS[task]
    samples = dataset.splits[split]
    if own.any():
        return
    if not any(task in one.tasks for one in samples):
        yield (
            f"None of the images in {split} of {dataset.root} ({len(samples)}) has {truth}; "
            f"expected {unit}s to {_verb(split)}. Choose another task, or label them."
        )
        return
    yield (
        f"The images in {split} of {dataset.root} ({len(samples)}) hold 0 {unit}s, but void or "
        f"nothing; expected at least one of {shortlist(dataset.classes.names)} to {_verb(split)}. "
        "Check the ids in the files and what --ignore leaves out."
    )


def _verb(split: str) -> str:
    return "learn from" if split in _TRAINING else "score on"


def _bare_images(dataset: Dataset, split: str, task: Task, own: np.ndarray) -> Iterator[str]:
    """A remark on images of which nothing is learned; without objects is a lesson, too."""
    labelled = np.array([task in one.tasks for one in dataset.splits[split]], bool)
    bare = np.flatnonzero(labelled & ~own.any(axis=1))
    if task in ("semantic", "panoptic") and 0 < len(bare) < len(own):
        names = [dataset.splits[split][place].name for place in bare.tolist()]
        yield (
            f"{len(bare)} of {len(own)} images in {split} hold no labelled pixel, so they teach "
            f"nothing: {shortlist(names)}."
        )


def _classes(dataset: Dataset, task: Task, own: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Remarks on classes that training never sees."""
    learned = np.zeros(len(dataset.classes), bool)
    for split in own:
        if split in _TRAINING:
            learned |= own[split].any(axis=0)
    scored = np.zeros_like(learned)
    for split in own:
        if split not in _TRAINING:
            scored |= own[split].any(axis=0)
    names, unit = dataset.classes.names, _UNITS[task][1]
    unlearned = [name for name, lacks in zip(names, ~learned & scored) if lacks]
    nowhere = [name for name, lacks in zip(names, ~learned & ~scored) if lacks]
    if unlearned:
        yield (
            f"Classes with no {unit} in {_joined(own, True)} but some in {_joined(own, False)}: "
            f"{shortlist(unlearned)}. They can't be learned and count as missed; divide the set "
            "anew, or ignore them."
        )
    if nowhere:
        yield (
            f"Classes with no {unit} in {' or '.join(own)}: {shortlist(nowhere)}. They can't be "
            "learned; check the ids, or ignore them."
        )


def _joined(splits: Iterable[str], training: bool) -> str:
    return " and ".join(split for split in splits if (split in _TRAINING) == training)


def _twins(dataset: Dataset, prints: Mapping[str, Sequence[Fingerprint]]) -> Iterator[str]:
    """A remark on images of other splits that train shows, too."""
    for split in [one for one in prints if one not in _TRAINING]:
        for training in [one for one in _TRAINING if one in prints]:
            pairs = near_duplicates(prints[split], prints[training])
            seen = {ours: theirs for ours, theirs, _ in pairs}
            names = [
                f"{dataset.splits[split][ours].name} ({dataset.splits[training][theirs].name})"
                for ours, theirs in sorted(seen.items())
            ]
            if names:
                yield (
                    f"{len(names)} of {len(prints[split])} images in {split} show what one in "
                    f"{training} shows: {shortlist(names, 3)}. Scores on {split} are too good; "
                    "divide the set by groups (data split --by duplicates)."
                )
