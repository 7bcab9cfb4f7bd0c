"""The top of a page: the score, how sure it is, and what to hold it against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from maskwright.jobs.score_maps import MapScores
from maskwright.jobs.score_task import Headline, TaskScores
from maskwright.metrics import Interval
from maskwright.report import Figure, Speed

_TOLD = ("mIoU", "boundary IoU", "thin IoU", "AP masks", "AP boundary", "AP boxes", "PQ", "mAP")


class Scored(Protocol):
    """What is told of `Scores`, which itself shows what is said here."""

    @property
    def images(self) -> int:
        """How many were scored."""

    @property
    def maps(self) -> MapScores | None:
        """Of class maps."""

    @property
    def parts(self) -> Mapping[str, TaskScores]:
        """Task -> scores."""

    def headline(self) -> Headline:
        """The one number."""

    def headline_interval(self) -> Interval | None:
        """Its interval over the images."""

    def numbers(self) -> Mapping[str, float]:
        """Name -> number of the whole."""

    def of_classes(self) -> Mapping[str, float | None]:
        """Class -> its score."""


@dataclass(frozen=True, kw_only=True)
class Weakest:
    """The class that matters: the foreground of two, else the one that scores least.

    Attributes:
        name: of the class.
        score: what is told of it: "IoU" or "AP".
        value: 0..1.
        foreground: whether it is the foreground of two classes.
    """

    name: str
    score: str
    value: float
    foreground: bool


def weakest_class(scores: Scored) -> Weakest | None:
    """The class that matters; None where no class has a score."""
    if scores.maps is not None:
        areas, truths = scores.maps.areas, scores.maps.areas.truth_pixels
        if len(areas.names) == 2 and not any(map(math.isnan, areas.iou)):
            front = 0 if truths[0] < truths[1] else 1
            return Weakest(
                name=areas.names[front], score="IoU", value=areas.iou[front], foreground=True
            )
    kind = {"maps": "IoU", "panoptic": "PQ"}.get(next(iter(scores.parts), ""), "AP")
    rows = [(math.nan if value is None else value, name)
            for name, value in scores.of_classes().items()]  # fmt: skip
    known = [(value, name) for value, name in rows if not math.isnan(value)]
    if len(known) < 2:
        return None
    value, name = min(known)
    return Weakest(name=name, score=kind, value=value, foreground=False)


def score_figures(
    scores: Scored, intervals: Mapping[str, Interval], speeds: Sequence[Speed] = ()
) -> list[Figure]:
    """The headline first, then what it is to be held against, the class that matters, the speed.

    Args:
        scores: of a model.
        intervals: score -> its interval, for what stands beside the headline.
        speeds: ways to run it, the plain one first.
    """
    head, sure = scores.headline(), scores.headline_interval()
    note = f"over {scores.images} images"
    if sure is not None and not math.isnan(sure.low):
        note = f"95 % interval {sure.low:.3f} to {sure.high:.3f}, {scores.images} images"
    figures = [Figure(label=_capital(head.name), value=three(head.value), note=note)]
    if scores.maps is not None and (alone := scores.maps.background()) is not None:
        name, value = alone
        figures.append(
            Figure(label="Background alone", value=three(value), note=f"mIoU, every pixel {name}")
        )
    worst = weakest_class(scores)
    if worst is not None:
        label = "Foreground" if worst.foreground else "Weakest class"
        note = f"{worst.score} of {worst.name}"
        figures.append(Figure(label=label, value=three(worst.value), note=note))
    for name, value in scores.numbers().items():
        if name in _TOLD and name != head.name:
            span = intervals.get(name)
            note = f"95 % interval {span.low:.3f} to {span.high:.3f}" if span else ""
            figures.append(Figure(label=_capital(name), value=three(value), note=note))
    return [*figures, *_speed_figures(speeds)]


def _speed_figures(speeds: Sequence[Speed]) -> list[Figure]:
    if not speeds:
        return []
    fastest = min(speeds, key=lambda speed: speed.milliseconds)
    gain = speeds[0].milliseconds / fastest.milliseconds
    note = f"{gain:.1f}× as fast as {speeds[0].label}" if len(speeds) > 1 else fastest.label
    return [Figure(label="Time per image", value=f"{fastest.milliseconds:.3g} ms", note=note)]


def score_summary(scores: Scored, speeds: Sequence[Speed] = ()) -> str:
    """The result in one or two sentences, for the page's head."""
    head, told = scores.headline(), ""
    if scores.maps is not None:
        areas = scores.maps.areas
        known = [
            (value, name) for value, name in zip(areas.iou, areas.names) if not math.isnan(value)
        ]
        if len(known) > 1:
            worst, best = min(known), max(known)
            told = f", IoU from {worst[0]:.2f} for {worst[1]} to {best[0]:.2f} for {best[1]}"
    parts = [f"{_capital(head.name)} {three(head.value)}{told}."]
    if speeds:
        fastest = min(speeds, key=lambda speed: speed.milliseconds)
        parts.append(f"{1000 / fastest.milliseconds:.3g} images a second with {fastest.label}.")
    return " ".join(parts)


def _capital(name: str) -> str:
    """As a sentence begins; mIoU and mAP keep their small letter."""
    return name if name[1:2].isupper() else name[0].upper() + name[1:]


def three(value: float) -> str:
    """Three digits, or a dash."""
    return "–" if math.isnan(value) else f"{value:.3f}"
