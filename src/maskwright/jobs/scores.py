"""`Scores`: what a model's answers come to, every task that they have in common with the truth.

A model of several tasks has one headline: the mean of its tasks' headlines, unless one is named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.tables import find_pandas
from maskwright.jobs.score_headline import score_figures, score_summary, three
from maskwright.jobs.score_labels import LabelScores
from maskwright.jobs.score_maps import MapScores
from maskwright.jobs.score_objects import ObjectScores
from maskwright.jobs.score_panoptic import SegmentScores
from maskwright.jobs.score_task import (
    Arrays,
    Draw,
    Headline,
    TaskScores,
    gains_of,
    intervals_of,
    pack,
    paired,
    require_same_images,
    unpack,
)
from maskwright.metrics import Interval, PairedInterval, bootstrap
from maskwright.metrics.overlap import none_for_nan
from maskwright.report import Report, Table, render_fragment, score_tables

if TYPE_CHECKING:
    import pandas

_KINDS: dict[str, type[TaskScores]] = {
    "maps": MapScores,
    "objects": ObjectScores,
    "panoptic": SegmentScores,
    "labels": LabelScores,
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores:
    """What was scored of a model's answers.

    Attributes:
        classes: what was told apart.
        names: of the images that were scored, in their order.
        maps: of class maps, where truth and prediction have them.
        objects: of boxes or masks with scores.
        panoptic: of panoptic segments.
        labels: of labels of whole images.
        wanted: the number that is the headline; "" takes the mean of the tasks' headlines.
        skipped: images that are not labelled for any of the tasks, and were left out.
        bad: (image, why) of those that were left out because they are at fault, on request.
    """

    classes: Classes
    names: tuple[str, ...]
    maps: MapScores | None = None
    objects: ObjectScores | None = None
    panoptic: SegmentScores | None = None
    labels: LabelScores | None = None
    wanted: str = ""
    skipped: int = 0
    bad: tuple[tuple[str, str], ...] = ()

    @property
    def images(self) -> int:
        """How many were scored."""
        return len(self.names)

    @property
    def parts(self) -> dict[str, TaskScores]:
        """ "maps", "objects", "panoptic", "labels" -> scores, of those that there are."""
        found = {kind: getattr(self, kind) for kind in _KINDS}
        return {kind: part for kind, part in found.items() if part is not None}

    def headline(self) -> Headline:
        """The one number that stands for the model.

        Raises:
            ConfigError: the number that was asked for is none of these scores.
        """
        if self.wanted:
            numbers = self.numbers()
            if self.wanted not in numbers:
                raise no_headline(self.wanted, numbers)
            return Headline(name=self.wanted, value=numbers[self.wanted])
        heads = [part.headline() for part in self.parts.values()]
        if len(heads) == 1:
            return heads[0]
        known = [head.value for head in heads if not math.isnan(head.value)]
        value = sum(known) / len(known) if known else math.nan
        return Headline(name=f"mean of {', '.join(head.name for head in heads)}", value=value)

    def numbers(self) -> dict[str, float]:
        """The numbers that stand for the whole, by the names that `intervals` gives them."""
        found: dict[str, float] = {}
        for part in self.parts.values():
            found |= part.numbers()
        return found

    def of_classes(self) -> dict[str, float | None]:
        """Class -> its IoU, AP or PQ, of the first task; None where it has none."""
        first = next(iter(self.parts.values()), None)
        values = () if first is None else first.class_scores()
        return {name: none_for_nan(v) for name, v in zip(self.classes.names, values)}

    def row(self) -> dict[str, float]:
        """The columns of a training log, the headline first: miou and pixel_accuracy, pq ..."""
        head, found = self.headline(), {}
        if self.wanted:
            found[self.wanted.replace(" ", "_").lower()] = head.value
        elif len(self.parts) > 1:
            found["mean_score"] = head.value
        for part in self.parts.values():
            found |= part.row()
        return found

    def intervals(self) -> dict[str, Interval]:
        """Score -> its 95 % bootstrap interval over the images."""
        found: dict[str, Interval] = {}
        for part in self.parts.values():
            found |= intervals_of(part)
        return found

    def headline_interval(self) -> Interval | None:
        """The headline's 95 % bootstrap interval over the images; None where nothing is there."""
        draw = self._headline_draw()
        if draw is None:
            return None
        return bootstrap(draw, self.images, resamples=self._resamples())

    def headline_gain(self, other: Scores) -> PairedInterval:
        """How much better this headline is than the other's, over the same images.

        Raises:
            ConfigError: other images or headlines, or nothing that could be compared.
        """
        require_same_images(self.names, other.names)
        names = self.headline().name, other.headline().name
        draws = self._headline_draw(), other._headline_draw()
        if names[0] != names[1] or draws[0] is None or draws[1] is None:
            raise ConfigError(
                f"expected two models with the same headline to compare, got {names[0]} and "
                f"{names[1]}, over {self.images} images."
            )
        return paired(draws[0], draws[1], self.images, self._resamples())

    def arrays(self) -> Arrays:
        """All that was counted, as plain arrays of numbers; `from_arrays` reads them back."""
        facts = {
            "names": self.names, "wanted": self.wanted, "skipped": self.skipped, "bad": self.bad,
        }  # fmt: skip
        found = {"facts": pack(facts)}
        for kind, part in self.parts.items():
            found |= {f"{kind}.{name}": array for name, array in part.arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`, without loss.

        Args:
            arrays: by name.
            classes: what was told apart.
        """
        facts = unpack(arrays["facts"])
        parts = {}
        for kind, scores in _KINDS.items():
            own = {
                name.removeprefix(f"{kind}."): array
                for name, array in arrays.items()
                if name.startswith(f"{kind}.")
            }
            if own:
                parts[kind] = scores.from_arrays(own, classes)
        return cls(
            classes=classes,
            names=tuple(facts["names"]),
            wanted=facts["wanted"],
            skipped=facts["skipped"],
            bad=tuple((name, why) for name, why in facts["bad"]),
            **parts,  # type: ignore[arg-type]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        head = self.headline()
        value = None if math.isnan(head.value) else head.value
        return {
            "classes": self.classes.to_dict(),
            "headline": {"name": head.name, "value": value},
            "images": self.images,
            "skipped": self.skipped,
            "left_out": [{"image": name, "why": why} for name, why in self.bad],
            **{name: part.to_dict() for name, part in self.parts.items()},
        }

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a class: the columns of the tables that a page shows.

        Returns:
            The index is the class. Of several tasks, a column's name begins with the task's:
            "maps IoU", "objects AP". What has no value is NaN.

        Raises:
            ConfigError: pandas is not installed.
        """
        columns: dict[str, dict[str, Any]] = {}
        by_class = [table for table in self._tables() if table.columns[0].name == "Class"]
        for kind, table in zip(self.parts, by_class):  # each task has one
            before = f"{kind} " if len(self.parts) > 1 else ""
            for place, column in enumerate(table.columns[1:], start=1):
                values = {str(row[0]): row[place] for row in table.rows}
                columns[before + column.name] = values
        make = find_pandas("to_dict()").DataFrame
        found: pandas.DataFrame = make(columns, index=list(self.classes.names), dtype=float)
        return found.rename_axis("class")

    def __repr__(self) -> str:
        head = self.headline()
        return (
            f"{type(self).__name__}({head.name} {three(head.value)}, {len(self.classes)} classes, "
            f"{self.images} images)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline with its interval, and the tables of the pages."""
        shown = Report(
            title=f"{self.images} images, {len(self.classes)} classes",
            subtitle=score_summary(self),
            headline=score_figures(self, {}),
            sections=self._tables(),
        )
        return render_fragment(shown)

    def _tables(self) -> list[Table]:
        return score_tables(self.to_dict(), self.classes)

    def _headline_draw(self) -> Draw | None:
        """The headline for images drawn several times."""
        place = {name: index for index, name in enumerate(self.names)}
        draws: list[Draw] = []
        for part in self.parts.values():
            own = part.draws().get(self.wanted or part.headline().name)
            if own is not None:
                draws.append(_of_images(own, [place[name] for name in part.names]))
        if not draws:
            return None
        return draws[0] if len(draws) == 1 else lambda times: _mean([d(times) for d in draws])

    def _resamples(self) -> int:
        return min(part.resamples for part in self.parts.values())


def _of_images(draw: Draw, places: Sequence[int]) -> Draw:
    return lambda times: draw(times[:, places])


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    """Over those that are defined, as the headline itself is."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def no_headline(wanted: str, known: Mapping[str, float] | Sequence[str]) -> ConfigError:
    """The error that tells which numbers may be the headline."""
    return ConfigError(
        f"expected a headline among {', '.join(known)}, got {wanted!r}; name one of them, or none "
        "for the mean of the tasks'."
    )


def compare(first: Scores, second: Scores) -> dict[str, PairedInterval]:
    """Score -> how much better the first is, with the 95 % interval over the same images.

    Raises:
        ConfigError: different images were scored, or nothing alike.
    """
    theirs = second.parts
    gains: dict[str, PairedInterval] = {}
    for kind, part in first.parts.items():
        if kind in theirs:
            gains |= gains_of(part, theirs[kind])
    if not gains:
        raise ConfigError(
            "the two hold nothing that could be compared: expected class maps, objects, panoptic "
            "segments or labels in both."
        )
    return gains
