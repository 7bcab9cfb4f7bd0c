"""What the writers of all formats share: where to, what could not be held, one image at a time.

A format writes a set in two steps, so that a conversion can stream, run in parallel and go on after
an end: `write_sample` writes the files of one image and returns what the set's own files will need
of it, as plain data; `finish` writes those. `write_set` takes the two steps for a set in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.outline import Vertices
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders

Entry = dict[str, Any]
"""What the set's own files need of an image: plain data for JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a set is written, and how.

    Attributes:
        root: the folder.
        classes: of the whole set.
        splits: their names.
        shared_names: whether splits share names of images, which a format that keeps all images in
            one folder must know.
        link: hard links instead of copies of images, where the file system can.
        polygons: COCO only: polygons along pixel edges instead of run lengths.
        vertices: YOLO-seg only: what a polygon's corner means.
    """

    root: Path
    classes: Classes
    splits: tuple[str, ...]
    shared_names: bool = False
    link: bool = False
    polygons: bool = False
    vertices: Vertices = "centre"

    @property
    def alone(self) -> bool:
        """Whether there are no splits, so that no folder is named after one."""
        return self.splits == (folders.NO_SPLIT,)

    def folder(self, split: str) -> Path:
        """The split's own folder, or the root where there are no splits."""
        return self.root if self.alone else self.root / split


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What a format can't hold of one image.

    Attributes:
        what: ends the sentence "FORMAT can't hold ...", "{}" being the count.
        count: of objects, pixels or images.
        ious: of each object (or class map) that changed, with what it was.
    """

    what: str
    count: int = 1
    ious: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What came of one image.

    Attributes:
        entry: for `finish`.
        losses: none where everything was held.
        remarks: what is held, but read otherwise by some readers; whole phrases with "{}".
    """

    entry: Entry = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    remarks: tuple[Loss, ...] = ()


SampleWriter = Callable[[Target, str, Sample, Segmentation], Written]
"""(target, split, sample, its truth) -> what came of it."""

Finisher = Callable[[Target, Mapping[str, Sequence[Entry]]], None]
"""(target, split -> the entries of its samples, by name) -> the set's own files."""


def target_of(dataset: Dataset, root: Path, **options: Any) -> Target:
    """The target of a data set as it stands."""
    names = [sample.name for samples in dataset.splits.values() for sample in samples]
    return Target(
        root=root,
        classes=dataset.classes,
        splits=tuple(dataset.splits),
        shared_names=len(set(names)) < len(names),
        **options,
    )


def write_set(
    kind: str, dataset: Dataset, target: Target, write_sample: SampleWriter, finish: Finisher
) -> tuple[str, ...]:
    """Write a set that is at hand.

    Args:
        kind: the format's name in sentences.
        dataset: every sample needs what the format holds.
        target: a new or empty folder.
        write_sample: the format's first step.
        finish: its second.

    Returns:
        A sentence for each thing that was left out or changed.

    Raises:
        DataError: the folder holds something, or a sample lacks what the format holds.
    """
    folders.require_empty(target.root)
    entries: dict[str, list[Entry]] = {}
    losses: list[tuple[str, Loss]] = []
    for split, samples in dataset.splits.items():
        entries[split] = []
        for sample in samples:
            written = write_sample(target, split, sample, sample.read_truth())
            entries[split].append(written.entry)
            losses += [(f"{split}/{sample.name}", loss) for loss in written.losses]
    finish(target, entries)
    return tuple(sentences(f"{kind} can't hold ", losses))


def sentences(begin: str, losses: Iterable[tuple[str, Loss]]) -> Iterator[str]:
    """A sentence for each kind of loss: how many, and the mean and lowest IoU with its image.

    Args:
        begin: of each sentence.
        losses: with the image each is of, as split/name; gone through once.
    """
    counts: dict[str, int] = defaultdict(int)
    totals: dict[str, tuple[int, float]] = {}
    worst: dict[str, tuple[float, str]] = {}
    for name, loss in losses:
        counts[loss.what] += loss.count
        for iou in loss.ious:
            number, total = totals.get(loss.what, (0, 0.0))
            totals[loss.what] = (number + 1, total + iou)
            worst[loss.what] = min(worst.get(loss.what, (2.0, "")), (iou, name))
    for what, count in counts.items():
        sentence = begin + what.format(count)
        if what in totals:
            number, total = totals[what]
            lowest, where = worst[what]
            sentence += f": IoU {total / number:.3f} on average, {lowest:.3f} in {where}"
        yield f"{sentence}."


def lost(losses: Mapping[str, int]) -> tuple[Loss, ...]:
    """Losses that are counts alone, without those of 0."""
    return tuple(Loss(what=what, count=count) for what, count in losses.items() if count)


def require_objects(name: str, truth: Segmentation) -> None:
    """Refuse an image without objects labelled.

    Raises:
        DataError: naming the image.
    """
    if truth.instances is None:
        raise DataError(
            f"{name} has no objects labelled; expected instances or boxes. Write this set as "
            "index_masks."
        )
