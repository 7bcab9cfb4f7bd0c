"""What the ids and names of classes in anybody's answers mean for a labelled set.

Ids mean what they mean in the set's own files, names are names; what the set leaves out (ignored
classes, its void) is left out of the answers, too: void in class maps, no objects. So is a class
that the set doesn't have, unless it is said which one it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.sample import Dataset
from maskwright.formats import folders
from maskwright.formats.class_ids import IdTable

VOID = "void"
"""In `stands_for`: a class whose answers are left out."""

_MOST_IDS = 1 << 16  # that a pixel of a mask can have


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswerClasses:
    """From ids and names in answers to the class ids of a labelled set; void's id: left out.

    Attributes:
        classes: of the labelled set.
        by_id: id in the set's own files -> class id.
        by_name: name, also of what the set leaves out -> class id.
        stands_for: name in answers -> class id, as the user said.
    """

    classes: Classes
    by_id: Mapping[int, int]
    by_name: Mapping[str, int]
    stands_for: Mapping[str, int]

    @classmethod
    def of(cls, dataset: Dataset, stands_for: Mapping[str, str] | None = None) -> AnswerClasses:
        """Those of a labelled set.

        Args:
            dataset: the labelled set.
            stands_for: name in answers -> name of a class of the set, or "void".

        Raises:
            ConfigError: it names a class that the set lacks.
        """
        classes = dataset.classes
        kept = {name: i for i, name in enumerate(classes.names)}
        own = dict(enumerate(classes.names)) if dataset.own_ids is None else dataset.own_ids
        chosen = {}
        for theirs, ours in (stands_for or {}).items():
            if ours not in kept and ours != VOID:
                raise ConfigError(
                    f"expected {theirs} to stand for void or a class of the labelled set "
                    f"({folders.shortlist(classes.names)}), got {ours!r}."
                )
            chosen[theirs] = kept.get(ours, classes.void)
        return cls(
            classes=classes,
            by_id={i: kept.get(name, classes.void) for i, name in own.items()},
            by_name={**dict.fromkeys(own.values(), classes.void), **kept},
            stands_for=chosen,
        )

    def ids_of(self, names: Sequence[str], source: object) -> tuple[list[int], tuple[str, ...]]:
        """The class id of each name, and what is to be told of names that the set lacks.

        Args:
            names: of the answers' classes.
            source: where they stand, for messages.

        Raises:
            ConfigError: not one of them is a class of the set, or stands for one.
        """
        meant = {**self.by_name, **self.stands_for}
        ids = [meant.get(name, self.classes.void) for name in names]
        if all(i == self.classes.void for i in ids):
            raise ConfigError(
                f"{source} names the classes {folders.shortlist(names)}, but the labelled set has "
                f"{folders.shortlist(self.classes.names)}: none in common. Evaluate on the data "
                "that it is for, or say what they stand for: --map THEIRS=OURS."
            )
        notes = []
        beyond = [name for name in names if name not in meant]
        if beyond:
            notes.append(
                f"{source} names {folders.shortlist(beyond)}, which the labelled set lacks: what "
                f"is found of it counts as nothing found (void). --map {beyond[0]}=CLASS counts it "
                "as a class of the set."
            )
        answered = {self.classes.names[i] for i in ids if i != self.classes.void}
        lacking = [name for name in self.classes.names if name not in answered]
        if lacking:
            notes.append(
                f"{source} never answers {folders.shortlist(lacking)}, which the labelled set has."
            )
        return ids, tuple(notes)

    def table(self) -> IdTable:
        """For masks whose pixels are ids of the set's own files."""
        used = {i: class_id for i, class_id in self.by_id.items() if 0 <= i < _MOST_IDS}
        table = np.full(max(used, default=-1) + 1, -1, np.int32)
        table[list(used)] = list(used.values())
        return IdTable(classes=self.classes, table=table)

    def told_ids(self) -> str:
        """Which id means which class, for a message."""
        names = [
            f"{i} {self.classes.names[class_id]}"
            for i, class_id in sorted(self.by_id.items())
            if class_id != self.classes.void
        ]
        shown = names if len(names) <= 4 else [*names[:2], "...", names[-1]]
        return ", ".join(shown)
