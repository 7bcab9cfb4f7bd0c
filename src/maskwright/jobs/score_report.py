"""Scores -> the page that a training run, `evaluate` and the demo end in: one for all of them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.machine import processor
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score import Find
from maskwright.jobs.score_headline import score_figures, score_summary
from maskwright.jobs.score_maps import MapScores
from maskwright.jobs.score_objects import ObjectScores
from maskwright.jobs.scores import Scores
from maskwright.metrics import Interval, PairedInterval
from maskwright.report import (
    Column,
    Example,
    Figure,
    Gallery,
    Report,
    Section,
    Speed,
    Table,
    choose_examples,
    circumstances,
    confusion_section,
    example_gallery,
    gain_table,
    history_curves,
    object_gallery,
    precision_recall_curves,
    score_tables,
    settings,
    speed_bars,
    write_report,
)

_WORST = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Around:
    """What a page tells beside scores; what is empty is left out.

    Attributes:
        intervals: of `Scores.intervals`.
        gains: of `compare`.
        other: what the gains are against.
        history: rows of a training log.
        speeds: ways to run the model, the plain one first.
        environment: machine, versions, command.
        settings: of the run.
        chosen: (setting, value, why) of those that the run chose for itself.
        remark: a sentence on the score, such as what was chosen by it.
        beside: figures that stand next to the headline.
    """

    intervals: Mapping[str, Interval] = field(default_factory=dict)
    gains: Mapping[str, PairedInterval] = field(default_factory=dict)
    other: str = ""
    history: Sequence[Mapping[str, Any]] = ()
    speeds: Sequence[Speed] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    chosen: Sequence[tuple[str, str, str]] = ()
    remark: str = ""
    beside: Sequence[Figure] = ()


_NOTHING = Around()


def score_page(
    title: str,
    scores: Scores,
    samples: Sequence[Sample],
    find: Find,
    around: Around = _NOTHING,
) -> Report:
    """The result first, the circumstances last.

    Args:
        title: what was scored on what.
        scores: of these samples.
        samples: that were scored.
        find: what answered; it is asked once more for the images that are shown.
        around: what else is told.

    Raises:
        DataError: an image can't be read.
    """
    sections: list[Section] = [gain_table(around.gains, around.other)] if around.gains else []
    sections += score_tables(scores.to_dict(), scores.classes)
    sections += [speed_bars(around.speeds)] if around.speeds else []
    sections += _evidence(scores, samples, find)
    curves = history_curves(around.history)
    sections += [curves] if curves.panels else []
    if around.chosen:
        sections.append(
            Table(
                title="Settings that the run chose",
                columns=(Column(name="Setting"), Column(name="Value"), Column(name="Why")),
                rows=list(around.chosen),
                note="From the data and the budget; --set NAME=VALUE decides otherwise.",
            )
        )
    sections += circumstances(around.environment) if around.environment else []
    if around.settings:
        sections.append(settings("Settings", around.settings, folded=True))
    first, *others = score_figures(scores, around.intervals, around.speeds)
    summary = score_summary(scores, around.speeds)
    return Report(
        title=title,
        subtitle=f"{summary} {around.remark}".strip(),
        headline=[first, *around.beside, *others],
        sections=sections,
    )


def write_score_report(
    path: Path | str,
    title: str,
    scores: Scores,
    samples: Sequence[Sample],
    find: Find,
    around: Around = _NOTHING,
) -> None:
    """Write `score_page` as one HTML file, with the circumstances of this machine.

    Args:
        path: of the page.
        title, scores, samples, find, around: as of `score_page`.

    Raises:
        DataError: an image can't be read.
        MaskwrightError: the page can't be written.
    """
    facts = {"images": scores.images, "left out": len(scores.bad), "processor": processor()}
    facts["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    around = replace(around, environment={**facts, **around.environment})
    write_report(path, score_page(title, scores, samples, find, around))


def _evidence(scores: Scores, samples: Sequence[Sample], find: Find) -> list[Section]:
    """Curves, confusions, and the best, median and worst images."""
    by_name = {sample.name: sample for sample in samples}
    sections: list[Section] = []
    if scores.objects is not None:
        curves = {
            name: (curve.recall.tolist(), curve.precision.tolist())
            for name, curve in scores.objects.curves.items()
        }
        truths = scores.objects.first.truths[0].tolist()
        counts = dict(zip(scores.classes.names, truths))
        sections.append(precision_recall_curves(curves, counts))
        sections.append(_worst_objects(scores.objects, by_name, find))
    if scores.maps is not None:
        examples = _map_examples(scores.maps, by_name, find)
        if any(examples.values()):
            sections.append(example_gallery(examples, scores.classes))
        if scores.maps.matrix.any():
            sections.append(confusion_section(scores.maps.matrix, scores.classes))
    return sections


def _map_examples(
    maps: MapScores, by_name: Mapping[str, Sample], find: Find
) -> dict[str, list[Example]]:
    ranked = maps.image_scores().tolist()
    examples: dict[str, list[Example]] = {}
    for kind, places in choose_examples(ranked).items():
        found = [_example(by_name[maps.names[place]], ranked[place], find) for place in places]
        examples[kind] = [example for example in found if example is not None]
    return examples


def _example(sample: Sample, score: float, find: Find) -> Example | None:
    truth = sample.read_truth()
    found = find(sample, truth.size)
    if truth.semantic is None or found.semantic is None:
        return None
    return Example(
        name=sample.name,
        image=sample.read_picture(),
        truth=truth.semantic,
        prediction=found.semantic,
        score=score,
    )


def _worst_objects(objects: ObjectScores, by_name: Mapping[str, Sample], find: Find) -> Gallery:
    worst = sorted(
        objects.tallies, key=lambda i: (i.f1, -i.false_positives - i.false_negatives, i.name)
    )[:_WORST]
    examples: list[tuple[str, str, np.ndarray, Segmentation, Segmentation]] = []
    for image in worst:
        sample = by_name[image.name]
        truth = sample.read_truth()
        found = find(sample, truth.size)
        sure = tuple(
            one
            for one in found.instances or ()
            if math.isnan(objects.confidence)
            or (1.0 if one.score is None else one.score) >= objects.confidence
        )
        said = (
            f"{image.true_positives} true positives, {image.false_positives} false positives, "
            f"{image.false_negatives} false negatives"
        )
        shown = (
            replace(truth, semantic=None),
            replace(found, semantic=None, instances=sure),
        )
        examples.append((sample.name, said, sample.read_picture(), *shown))
    return object_gallery(examples)
