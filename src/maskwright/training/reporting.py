"""The page that a run ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.sample import Sample
from maskwright.jobs.score import answers_of
from maskwright.jobs.score_report import Around, score_page
from maskwright.jobs.scores import Scores
from maskwright.report import write_report
from maskwright.runtimes.predictor import Predictor


def write_run_report(
    path: Path,
    scores: Scores,
    samples: Sequence[Sample],
    predictor: Predictor,
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> None:
    """Write a training run's report.

    Args:
        path: of the page.
        scores: of the weights that are kept.
        samples: that were scored.
        predictor: with those weights.
        history: rows of metrics.csv.
        config: every setting, resolved.
        environment: machine, versions, command.
    """
    title = f"{predictor.card.architecture} on {Path(str(config['data'])).name}"
    around = Around(history=history, environment=environment, settings=config)
    write_report(path, score_page(title, scores, samples, answers_of(predictor), around))
