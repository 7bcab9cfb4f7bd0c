"""`Format`: what a file of this room offers to the others, and what all of them share.

A format's own part is small: `scan` finds and checks its files, `write_sample` and `finish` write
them, unless it is only read. Reading strictly or leniently, options, empty sets, images that two
splits claim, walking the splits, counting what can't be held, and folders that are whole or absent
are stated here, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.core.settings import config_values
from maskwright.formats import folders
from maskwright.formats.writing import (
    WHOLE_SET,
    Entry,
    Finisher,
    Loss,
    SampleWriter,
    Target,
    Written,
    beyond,
    entries_of,
    new_folder,
    sentences,
    unheld,
    unheld_of_set,
)

Splits = dict[str, tuple[Sample, ...]]
"""Split name -> its samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoOptions:
    """The options of a format that has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A call of `read`, as a format's own part sees it.

    Attributes:
        root: the folder or file.
        ignore: names of classes to leave out.
        strict: whether the first fault refuses the whole set.
        options: of the format.
        notes: takes a sentence for each thing that was decided.
        left_out: takes what is drawn or told and can't be held, a phrase each -> how many.
        about: takes what the set's own file of a split tells beside: see `Dataset.about`.
        own_ids: takes what the files' ids mean: see `Dataset.own_ids`; left empty where they are
            those of the classes.
    """

    root: Path
    ignore: tuple[str, ...]
    strict: bool
    options: Any
    notes: list[str]
    own_ids: dict[int, str] = field(default_factory=dict)
    about: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    numbered: set[bool] = field(default_factory=set)  # whether a file's ids tell something

    def leave_out(self, counts: Mapping[str, int]) -> None:
        """Count what isn't kept, and tell it.

        Args:
            counts: a sentence with "{}" -> how many things it concerns; 0 tells nothing.
        """
        for text, count in counts.items():
            if count:
                self.notes.append(text.format(count))
                self.left_out[text.replace("{} ", "").removesuffix(".")] += count

    def refuse(self, fault: str) -> None:
        """Refuse the set for a fault ("" is none), unless reading is lenient.

        Raises:
            DataError: with `fault`.
        """
        if fault and self.strict:
            raise DataError(fault)

    def sample(
        self,
        name: str,
        image: Path | np.ndarray,
        truth_of: Callable[[], Segmentation],
        tasks: Iterable[Task],
        fault: str = "",
    ) -> Sample:
        """A sample; a faulty one raises when its truth is read."""
        truth = partial(folders.refuse, fault) if fault else truth_of
        return Sample(name=name, image=image, truth_of=truth, tasks=frozenset(tasks))


Scanner = Callable[[Reading], tuple[Classes, Splits] | None]
"""A call -> classes and samples; None where the layout isn't there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One way to lay annotations on disk.

    Attributes:
        name: key in `FORMATS`.
        title: what a folder of it holds, for messages.
        layout: the files it expects, in one line, for messages.
        tasks: what it can hold.
        scan: finds and checks the files.
        detect: a path -> why it is this format, or None.
        write_sample: writes the files of one image; see `writing`. None: it is only read.
        finish: writes the set's own files, after all images; None as `write_sample`.
        options: class of its options.
        holds: keys of `Instance.extras` that it writes again; None: all.
        holds_of_images: the same of `Segmentation.extras`.
        ids: whether it holds numbers of images and objects.
    """

    name: str
    title: str
    layout: str
    tasks: frozenset[Task]
    scan: Scanner
    detect: Callable[[Path], str | None]
    write_sample: SampleWriter | None = None
    finish: Finisher | None = None
    options: type = NoOptions
    holds: frozenset[str] | None = frozenset()
    holds_of_images: frozenset[str] | None = frozenset()
    ids: bool = False

    def read(
        self,
        path: Path | str,
        ignore: Iterable[str] = (),
        strict: bool = True,
        options: object = None,
    ) -> Dataset:
        """Read a set. Its own files are checked at once, pictures are opened late.

        Args:
            path: a folder, or the file that describes the set.
            ignore: names of classes to leave out: void in class maps, objects and labels dropped.
            strict: refuse the set where a file is at fault or missing. Else the sample concerned
                is kept, and reading its truth (or image) raises that fault.
            options: of this format, or a mapping of them; None takes the defaults.

        Raises:
            DataError: no such layout, files at fault or missing, no images at all, or an image
                that two splits claim.
            ConfigError: `ignore` names no class or all of them, or options that aren't this
                format's.
        """
        root, notes = Path(path), list[str]()
        reading = Reading(
            root=root,
            ignore=tuple(ignore),
            strict=strict,
            options=self.checked(options),
            notes=notes,
        )
        found = self.scan(reading)
        if found is None:
            raise DataError(
                f"{root} holds no {self.title}: expected {self.layout}; found "
                f"{folders.what_is_in(root)}."
                if root.exists()
                else f"{root} does not exist; check the path."
            )
        classes, splits = found
        if not any(splits.values()):
            raise DataError(
                f"{root} is an empty set: its {self.title} name no image; expected at least one. "
                "Add some."
            )
        splits = {split: tuple(own) for split, own in _without_claims(reading, splits).items()}
        return Dataset(
            root=root,
            format=self.name,
            classes=classes,
            splits=splits,
            notes=tuple(notes),
            own_ids=reading.own_ids or None,
            about=reading.about,
            ids=True in reading.numbered,
            left_out=dict(reading.left_out),
        )

    def write(
        self, dataset: Dataset, path: Path | str, options: object = None, link: bool = False
    ) -> tuple[str, ...]:
        """Write a set that is at hand: all of it, or nothing. Image files are copied as they are.

        Args:
            dataset: every sample needs what the format holds.
            path: a new or empty folder.
            options: of this format, or a mapping of them; None takes the defaults.
            link: hard links instead of copies of images, where the file system can.

        Returns:
            A sentence for each thing that was left out or changed.

        Raises:
            DataError: the folder holds something, or a sample lacks what the format holds.
            ConfigError: options that aren't this format's, or it is only read.
        """
        chosen = self.checked(options)
        self.require_writer()
        losses: list[tuple[str, Loss]] = []
        with new_folder(Path(path)) as folder:
            target = Target.of(dataset, folder, chosen, link)
            entries = entries_of(dataset, target, self.write_one, losses)
            losses += [(WHOLE_SET, loss) for loss in self.finish_set(target, entries)]
        return tuple(sentences(f"{self.name} can't hold ", losses))

    def write_one(self, target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
        """Write the files of one image, counting the forms of truth that the format lacks.

        Raises:
            DataError: the truth lacks what the format holds.
        """
        write_sample, _ = self.require_writer()
        written = write_sample(target, split, sample, truth)
        told = beyond(self.tasks, truth) + unheld(self.holds, self.holds_of_images, truth)
        return replace(written, losses=told + written.losses)

    def finish_set(
        self, target: Target, entries: Mapping[str, Sequence[Entry]]
    ) -> tuple[Loss, ...]:
        """Write the set's own files, counting what they can't hold of the set as a whole."""
        _, finish = self.require_writer()
        told = finish(target, entries) or ()
        return told + unheld_of_set(target, self.name, self.ids)

    @property
    def writable(self) -> bool:
        """Whether sets can be written in it; others are only read."""
        return self.write_sample is not None and self.finish is not None

    def require_writer(self) -> tuple[SampleWriter, Finisher]:
        """Both steps of writing.

        Raises:
            ConfigError: it is only read.
        """
        if self.write_sample is None or self.finish is None:
            raise ConfigError(
                f"{self.title} can be read, but not written (format {self.name!r}); choose "
                "another format, such as coco."
            )
        return self.write_sample, self.finish

    def checked(self, options: object) -> Any:
        """The options of this format, from a mapping, from themselves, or the defaults.

        Raises:
            ConfigError: an option that the format lacks (the nearest is named), or a value of
                another type; options of another format.
        """
        if options is None:
            return self.options()
        if isinstance(options, Mapping):
            unknown = next(iter(options), None)
            if not self.option_names and unknown is not None:
                raise ConfigError(
                    f"the format {self.name} has no options, got {unknown}={options[unknown]!r}; "
                    "leave it out."
                )
            return self.options(**config_values(self.options, options, self.name))
        if isinstance(options, self.options):
            return options
        wanted = self.options.__name__ if self.option_names else "none, for it has no options"
        raise ConfigError(
            f"expected as options of {self.name} {wanted}, got {options!r}; leave them out, or "
            "choose the format that they belong to."
        )

    @property
    def option_names(self) -> tuple[str, ...]:
        """What `options` may hold."""
        return tuple(field.name for field in fields(self.options))


def _without_claims(reading: Reading, splits: Splits) -> Splits:
    """The splits, in which an image that several claim is at fault in all but the first."""
    owner: dict[Path, str] = {}
    kept: Splits = {}
    for split, samples in splits.items():
        own = []
        for one in samples:
            before = owner.setdefault(one.image, split) if isinstance(one.image, Path) else split
            fault = f"{one.image} is claimed by {before} and by {split}; take it out of one."
            if before != split:
                reading.refuse(f"{reading.root}: {fault}")
                one = replace(one, truth_of=partial(folders.refuse, fault))
            own.append(one)
        kept[split] = tuple(own)
    return kept
