"""Several labelled sets as one: what one lacks in labels, another may have."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import ConfigError
from maskwright.core.sample import Dataset, Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats.recast import recast

JOINED = "joined"
"""The format of such a set. Its root names the roots of all, separated as in PATH."""


def roots_of(path: Path | str) -> tuple[Path, ...]:
    """The roots that a path names: several where it is none itself, but each of its parts is."""
    parts = [Path(part) for part in str(path).split(os.pathsep) if part]
    several = len(parts) > 1 and not Path(path).exists()
    return tuple(parts) if several and all(one.exists() for one in parts) else (Path(path),)


def joined_root(roots: Sequence[Path | str]) -> Path:
    """The path that `roots_of` takes apart."""
    return Path(os.pathsep.join(str(Path(one).absolute()) for one in roots))


def join(sets: Sequence[Dataset]) -> Dataset:
    """One set of the images of all, under the classes of all, which are the same by name.

    An image keeps what is labelled of it and nothing more: in the class maps of a set that has no
    balls, balls are whatever its makers took them for. A set without splits is trained on where
    another has a split train.

    Raises:
        ConfigError: images of other channels or bits.
    """
    kinds = {str(one.pixels) for one in sets}
    if len(kinds) > 1:
        raise ConfigError(
            f"expected sets of images of one kind, got {' and '.join(sorted(kinds))}."
        )
    classes = union_of([one.classes for one in sets])
    trained = any("train" in one.splits for one in sets)
    splits: dict[str, list[Sample]] = {}
    notes = [note for one in sets for note in one.notes]
    for prefix, one in zip(_prefixes(sets), sets):
        ids = tuple(classes.index(name) for name in one.classes.names)
        for split, samples in one.splits.items():
            target = "train" if split == "all" and trained else split
            if target != split:
                notes.append(f"{one.root} has no splits: all of it is trained on.")
            splits.setdefault(target, []).extend(
                replace(
                    sample,
                    name=f"{prefix}/{sample.name}",
                    truth_of=_Recast(sample=sample, ids=ids, classes=classes),
                )
                for sample in samples
            )
    names = ", ".join(f"{one.root.name} ({len(one.classes)} classes)" for one in sets)
    notes.append(f"{names} are one set of {len(classes)} classes: {', '.join(classes.names)}.")
    left_out: Counter[str] = Counter()
    for one in sets:
        left_out.update(one.left_out)
    return Dataset(
        root=joined_root([one.root for one in sets]),
        format=JOINED,
        classes=classes,
        splits={
            split: tuple(sorted(own, key=lambda sample: sample.name))
            for split, own in splits.items()
        },
        notes=tuple(notes),
        pixels=sets[0].pixels,
        left_out=dict(left_out),
    )


@dataclass(frozen=True, kw_only=True)
class _Recast:
    """Reads the truth of a sample under the classes of all sets."""

    sample: Sample
    ids: tuple[int, ...]
    classes: Classes

    def __call__(self) -> Segmentation:
        return recast(self.sample.read_truth(), self.ids, self.classes)


def union_of(each: Sequence[Classes]) -> Classes:
    """Names in the order in which they come; the first colour of each, a thing where any says so.

    A class called "background" is the first, as in every set that has it.
    """
    colours: dict[str, Colour] = {}
    for classes in each:
        for name, colour in zip(classes.names, classes.colours):
            colours.setdefault(name, colour)
    names = sorted(colours, key=lambda name: name != "background")
    things = {classes.names[i] for classes in each for i in classes.things}
    # colours that two sets gave to different classes would be taken for one another
    distinct = len(set(colours.values())) == len(names)
    return Classes.of(
        names,
        [colours[name] for name in names] if distinct else None,
        [names.index(name) for name in things],
    )


def _prefixes(sets: Sequence[Dataset]) -> list[str]:
    """A name for each set, no two alike."""
    names = [one.root.stem or "set" for one in sets]
    if len(set(names)) == len(names):
        return names
    return [f"{place}-{name}" for place, name in enumerate(names, 1)]
