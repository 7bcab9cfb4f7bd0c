"""What the writers of all formats share: where to, what could not be held, one image at a time.

A format writes a set in two steps, so that a conversion can stream, run in parallel and go on after
an end: `write_sample` writes the files of one image and returns what the set's own files will need
of it, as plain data; `finish` writes those. `Format.write` takes both steps for a set in memory.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError, could_not_write
from maskwright.core.parts import Instance
from maskwright.core.sample import Dataset, Sample, Task
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
        options: of the format.
        source: the format that the set was read from.
        about: split -> what the set's own file told beside: see `Dataset.about`.
        ids: whether its numbers of images and objects tell something.
    """

    root: Path
    classes: Classes
    splits: tuple[str, ...]
    shared_names: bool = False
    link: bool = False
    options: Any = None
    source: str = ""
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ids: bool = False

    @classmethod
    def of(cls, dataset: Dataset, root: Path, options: object = None, link: bool = False) -> Target:
        """The target of a data set as it stands.

        Raises:
            DataError: a split or sample is called so that its files would lie outside of `root`.
        """
        names = [sample.name for samples in dataset.splits.values() for sample in samples]
        outside = next((n for n in (*dataset.splits, *names) if not folders.is_below(n)), None)
        if outside is not None:
            raise DataError(
                f"{dataset.root} holds a split or image called {outside!r}, whose files would be "
                "written elsewhere; expected a relative path without '..'. Rename it."
            )
        return cls(
            root=root,
            classes=dataset.classes,
            splits=tuple(dataset.splits),
            shared_names=len(set(names)) < len(names),
            link=link,
            options=options,
            source=dataset.format,
            about=dataset.about,
            ids=dataset.ids,
        )

    def about_of(self, split: str, format: str) -> Mapping[str, Any]:
        """What the source's own file told of a split, where it is of the same family of formats.

        A set that was divided anew takes that of the first split.
        """
        if family(self.source) != family(format):
            return {}
        return self.about.get(split) or next(iter(self.about.values()), {})

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

Finisher = Callable[[Target, Mapping[str, Sequence[Entry]]], tuple[Loss, ...] | None]
"""(target, split -> the entries of its samples, by name) -> what the set's own files can't hold."""

WHOLE_SET = "the set"
"""Where a loss is of no single image."""

_MOST_KEYS = 12
_NAMED = frozenset({"keypoints", "attributes", "parts", "captions"})
_TOLD_OTHERWISE = frozenset({"id", "num_keypoints", "segmentation"})
"""Extras that are held otherwise or counted once for the set."""


def family(format: str) -> str:
    """What formats that share a file of the set have in common: "coco" of "coco_panoptic"."""
    return format.split("_")[0]


def entries_of(
    dataset: Dataset, target: Target, write_one: SampleWriter, losses: list[tuple[str, Loss]]
) -> dict[str, list[Entry]]:
    """Write every sample; split -> the entries of its samples.

    Args:
        dataset: at hand.
        target: where to.
        write_one: the first step.
        losses: takes what could not be held, with the image as split/name.
    """
    entries: dict[str, list[Entry]] = {}
    for split, samples in dataset.splits.items():
        entries[split] = []
        for sample in samples:
            written = write_one(target, split, sample, sample.read_truth())
            entries[split].append(written.entry)
            losses += [(f"{split}/{sample.name}", loss) for loss in written.losses]
    return entries


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success its content becomes that of `path`.

    If the block raises, `path` is as it was.

    Raises:
        DataError: `path` holds something.
        MaskwrightError: it can't be written, or the disk is full.
    """
    path = path.resolve()
    folders.require_empty(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        temporary = Path(made)
        inner = temporary / "set"  # its rights are those of any new folder
        inner.mkdir()
        yield inner
        if path.is_dir():  # the caller's own: kept, for it may be a mount or the working folder
            for child in inner.iterdir():
                child.rename(path / child.name)
        else:
            inner.rename(path)
    except OSError as error:
        raise could_not_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


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


def beyond(tasks: Collection[Task], truth: Segmentation) -> tuple[Loss, ...]:
    """The forms of an image's truth that a format of these tasks lacks."""
    return lost(
        {
            "the class maps of {} images": int(
                "semantic" not in tasks and truth.semantic is not None
            ),
            "the objects of {} images": int("boxes" not in tasks and bool(truth.instances)),
            "the image labels of {} images": int("labels" not in tasks and bool(truth.labels)),
        }
    )


def extras_of(instances: Sequence[Instance]) -> dict[str, int]:
    """What few formats hold of objects, for `lost`: scores and track ids."""
    return {
        "the scores of {} objects": sum(one.score is not None for one in instances),
        "the track ids of {} objects": sum(one.track_id is not None for one in instances),
    }


def unheld(holds: frozenset[str] | None, truth: Segmentation) -> tuple[Loss, ...]:
    """What the source told of an image and its objects and a format can't write again.

    Args:
        holds: keys of `extras` that the format writes; None: all.
        truth: with its extras.
    """
    if holds is None:
        return ()
    skipped = holds | _TOLD_OTHERWISE
    objects = Counter(key for one in truth.instances or () for key in one.extras)
    fields = {key: count for key, count in objects.items() if key not in skipped}
    counts = {f"{_field(key)} of {{}} objects": count for key, count in fields.items()}
    told = [key for key in truth.extras if key not in skipped]
    counts |= {f"{_field(key)} of {{}} images": 1 for key in told}
    if len(counts) > _MOST_KEYS:
        counts = {"further fields of {} objects and images": sum(counts.values())}
    return lost(counts)


def unheld_of_set(target: Target, format: str, ids: bool) -> tuple[Loss, ...]:
    """What the source's own files told of the set and a format can't write again."""
    told: tuple[Loss, ...] = ()
    if family(target.source) != family(format):
        keys = sorted({key for about in target.about.values() for key in about_keys(about)})
        if keys:
            told += (Loss(what=f"what the set's own files tell beside: {_listed(keys)}"),)
    if target.ids and not ids:
        told += (Loss(what="the numbers of images and objects"),)
    return told


def about_keys(about: Mapping[str, Any]) -> Iterator[str]:
    """The keys that are told when they are lost: of categories those beside id and name."""
    for key, value in about.items():
        if key != "categories":
            yield key
            continue
        beside = {inner for entry in value for inner in entry} - {"id", "name", "color", "isthing"}
        yield from (f"{inner} of categories" for inner in beside)


def _field(key: str) -> str:
    return f"the {key}" if key in _NAMED else f"the field {_text(key)!r}"


def _listed(keys: Sequence[str]) -> str:
    shown = ", ".join(_text(key) for key in keys[:_MOST_KEYS])
    return shown if len(keys) <= _MOST_KEYS else f"{shown} and {len(keys) - _MOST_KEYS} more"


def _text(key: str) -> str:
    """A stranger's key inside of a text that `str.format` will read."""
    return key[:40].replace("{", "{{").replace("}", "}}")


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
