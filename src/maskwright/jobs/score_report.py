"""The page that `maskwright evaluate --report` writes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.core.machine import processor
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score import Find, Scores
from maskwright.jobs.score_maps import MapScores
from maskwright.jobs.score_objects import ObjectScores
from maskwright.metrics import Interval
from maskwright.report import (
    Example,
    Figure,
    Gallery,
    Matrix,
    Report,
    Section,
    choose_examples,
    example_gallery,
    gain_table,
    object_gallery,
    precision_recall_curves,
    score_tables,
    settings,
    write_report,
)

_WORST = 6


def write_score_report(
    path: Path | str,
    title: str,
    scores: Scores,
    samples: Sequence[Sample],
    find: Find,
    *,
    intervals: Mapping[str, Interval] | None = None,
    gains: Mapping[str, Interval] | None = None,
    other: str = "",
) -> None:
    """Write tables, curves and the worst images as one HTML page.

    Args:
        path: of the page.
        title: what was scored on what.
        scores: of these samples.
        samples: that were scored.
        find: what answered; it is asked once more for the images that are shown.
        intervals: of `Scores.intervals`, for the headline.
        gains: of `compare`.
        other: what the gains are against.

    Raises:
        DataError: an image can't be read.
        MaskwrightError: the page can't be written.
    """
    plain = scores.to_dict()
    sections: list[Section] = []
    if gains:
        sections.append(gain_table(gains, other))
    sections += score_tables(plain, scores.classes)
    by_name = {sample.name: sample for sample in samples}
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
        names = scores.classes.names
        sections.append(
            Matrix(title="What is taken for what", names=names, counts=scores.maps.matrix)
        )
        examples = _map_examples(scores.maps, by_name, find)
        sections.append(example_gallery(examples, scores.classes))
    facts = {"images": scores.images, "left out": len(scores.bad), "processor": processor()}
    facts["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    sections.append(settings("Circumstances", facts))
    report = Report(title=title, headline=_headline(scores, intervals or {}), sections=sections)
    write_report(path, report)


def _headline(scores: Scores, intervals: Mapping[str, Interval]) -> list[Figure]:
    wanted = ("mIoU", "boundary IoU", "thin IoU", "AP masks", "AP boundary", "AP boxes", "PQ")
    figures = []
    for name, value in scores.numbers().items():
        if name in wanted:
            sure = intervals.get(name)
            note = f"95 % interval {sure.low:.3f} to {sure.high:.3f}" if sure else ""
            figures.append(Figure(label=name, value=_three(value), note=note))
    return figures


def _map_examples(
    maps: MapScores, by_name: Mapping[str, Sample], find: Find
) -> dict[str, list[Example]]:
    ranked = maps.image_scores().tolist()
    examples: dict[str, list[Example]] = {}
    for kind, places in choose_examples(ranked).items():
        found = [_example(by_name[maps.images[place]], ranked[place], find) for place in places]
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
    worst = sorted(objects.images, key=lambda i: (i.f1, -i.wrong - i.missed, i.name))[:_WORST]
    examples: list[tuple[str, str, np.ndarray, Segmentation, Segmentation]] = []
    for image in worst:
        sample = by_name[image.name]
        truth = sample.read_truth()
        found = find(sample, truth.size)
        sure = tuple(
            one
            for one in found.instances or ()
            if (1.0 if one.score is None else one.score) >= objects.confidence
        )
        said = f"{image.right} right, {image.wrong} wrong, {image.missed} missed"
        shown = (
            replace(truth, semantic=None),
            replace(found, semantic=None, instances=sure),
        )
        examples.append((sample.name, said, sample.read_picture(), *shown))
    return object_gallery(examples)


def _three(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
