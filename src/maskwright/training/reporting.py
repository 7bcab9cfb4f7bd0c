"""The page that a run ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.sample import Dataset, Sample
from maskwright.jobs.score import answers_of, labelled_for, score, tasks_of
from maskwright.jobs.score_headline import three
from maskwright.jobs.score_report import Around, score_page
from maskwright.jobs.scores import Scores
from maskwright.report import Figure, write_report
from maskwright.runtimes.predictor import Predictor
from maskwright.training.defaults import Choice


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """What the weights that a run keeps have scored.

    Attributes:
        validation: on the split that chose them.
        split: its name.
        samples: of it.
        test: on the split "test", once, at the end; None where there is none.
        test_samples: of it.
    """

    validation: Scores
    split: str
    samples: Sequence[Sample]
    test: Scores | None = None
    test_samples: Sequence[Sample] = ()


def score_kept(scores: Scores, dataset: Dataset, predictor: Predictor) -> Scores | None:
    """The kept weights on the test split, which no choice has seen; None where there is none.

    Args:
        scores: of these weights on the validation split, whose headline is scored here, too.
        dataset: of the run; without a split "val", "test" has chosen the weights.
        predictor: with the kept weights.

    Raises:
        DataError: an image can't be read.
    """
    tasks = tasks_of(predictor.card.tasks)
    samples = labelled_for(dataset.splits.get("test", ()), tasks)
    if "val" not in dataset.splits or not samples:
        return None
    find = answers_of(predictor)
    return score(samples, find, dataset.classes, tasks=tasks, headline=scores.wanted)


def write_run_report(
    path: Path,
    kept: Kept,
    predictor: Predictor,
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> None:
    """Write a training run's report: first the score that the choice of weights hasn't seen.

    Args:
        path: of the page.
        kept: what the weights that are kept scored.
        predictor: with those weights.
        history: rows of metrics.csv.
        config: every setting, resolved; "chosen" tells those that the run chose.
        environment: machine, versions, command.
    """
    choices = [Choice(**choice) for choice in config.get("chosen", ())]
    around = Around(
        history=history,
        environment=environment,
        settings={name: value for name, value in config.items() if name != "chosen"},
        chosen=[(choice.name, choice.shown, choice.why) for choice in choices],
        remark=_remark(kept, history),
        beside=_beside(kept, history),
    )
    title = f"{predictor.card.architecture} on {Path(str(config['data'])).name}"
    scores, samples = kept.validation, kept.samples
    if kept.test is not None:
        scores, samples = kept.test, kept.test_samples
    write_report(path, score_page(title, scores, samples, answers_of(predictor), around))


def told_scores(kept: Kept, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores of a run in sentences, that which no choice has seen first."""
    lines = []
    for split, scores in (("test", kept.test), (kept.split, kept.validation)):
        if scores is not None:
            head, sure = scores.headline(), scores.headline_interval()
            span = "" if sure is None else f" [{sure.low:.4f}, {sure.high:.4f}]"
            lines.append(f"{head.name} {head.value:.4f}{span} on {scores.images} images of {split}")
    lines[-1] += f"; {_choice(kept, history)}"
    return lines


def _remark(kept: Kept, history: Sequence[Mapping[str, Any]]) -> str:
    if kept.test is not None:
        return "These are the test images, on which nothing was chosen."
    if len(_scored(kept, history)) < 2:
        return ""
    return (
        f"These images ({kept.split}) have chosen the weights, so expect a little less on new "
        "ones; a split test would tell."
    )


def _beside(kept: Kept, history: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """On the validation split: the score that chose the weights, or the last one beside it."""
    head, values = kept.validation.headline(), _scored(kept, history)
    if kept.test is not None:
        label = f"{head.name} on {kept.split}"
        return [Figure(label=label, value=three(head.value), note=_choice(kept, history))]
    if len(values) < 2:
        return []
    note = f"the weights of the best of {len(values)} scores are kept"
    return [Figure(label=f"{head.name} of the last score", value=three(values[-1]), note=note)]


def _choice(kept: Kept, history: Sequence[Mapping[str, Any]]) -> str:
    values = _scored(kept, history)
    if len(values) < 2:
        return "scored once, nothing was chosen by it"
    return f"chosen by it: the best of {len(values)} scores, the last one {values[-1]:.4f}"


def _scored(kept: Kept, history: Sequence[Mapping[str, Any]]) -> list[float]:
    """The headline's column of the log: the first of the scores' columns."""
    column = next(iter(kept.validation.row()))
    return [float(row[column]) for row in history if column in row]
