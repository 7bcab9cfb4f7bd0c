"""The page that a run ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.sample import Sample
from maskwright.jobs.evaluate import Evaluation
from maskwright.jobs.showcase import examples_of
from maskwright.report import (
    Report,
    semantic_headline,
    semantic_sections,
    semantic_summary,
    settings,
    write_report,
)
from maskwright.runtimes.predictor import Predictor


def write_run_report(
    path: Path,
    evaluation: Evaluation,
    samples: Sequence[Sample],
    predictor: Predictor,
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> None:
    """Write a training run's report.

    Args:
        path: of the page.
        evaluation: of the weights that are kept.
        samples: that were scored.
        predictor: with those weights.
        history: rows of metrics.csv.
        config: every setting, resolved.
        environment: machine, versions, command.
    """
    scores = evaluation.scores.to_dict()
    sections = semantic_sections(
        scores=scores,
        matrix=evaluation.matrix,
        classes=evaluation.classes,
        examples=examples_of(evaluation, samples, predictor.predict),
        history=history,
        environment=environment,
    )
    report = Report(
        title=f"{predictor.card.architecture} on {Path(str(config['data'])).name}",
        subtitle=semantic_summary(scores),
        headline=semantic_headline(scores),
        sections=[*sections, settings("Settings", config, folded=True)],
    )
    write_report(path, report)
