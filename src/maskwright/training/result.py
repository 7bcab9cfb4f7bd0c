"""`TrainResult`: what a run came to, shown in notebooks and as plain data."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import ConfigError
from maskwright.core.tables import find_pandas
from maskwright.jobs.score_headline import score_figures
from maskwright.jobs.scores import Scores
from maskwright.report import Facts, Report, Section, history_curves, render_fragment, settings
from maskwright.training.config import TrainConfig
from maskwright.training.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainResult:
    """What a run came to.

    Attributes:
        folder: with everything in it.
        config: resolved: `steps` and `precision` are decided.
        scores: of the best weights on the validation split; None if interrupted before, or
            where a resumed run was finished already.
        test: of the same weights on the split test, on which nothing was chosen, scored once at
            the end; None without one, if interrupted, and in all processes but the first.
        told: both scores in sentences, the first the one that no choice has seen.
        history: the rows of metrics.csv.
        seconds: of the whole run, without the time between its end and its resumption.
        interrupted: whether Ctrl-C ended it.
    """

    folder: Path
    config: TrainConfig
    scores: Scores | None
    test: Scores | None
    history: list[dict[str, float]]
    seconds: float
    interrupted: bool
    told: tuple[str, ...] = ()

    @property
    def choices(self) -> list[dict[str, Any]]:
        """What the run chose for the data and the budget: "name", "value" and "why" of each.

        Raises:
            ConfigError: the run's folder is gone.
        """
        found: list[dict[str, Any]] = RunFolder.reopen(self.folder).settings().get("chosen", [])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "folder": str(self.folder),
            "config": self.config.to_dict(),
            "scores": None if self.scores is None else self.scores.to_dict(),
            "test": None if self.test is None else self.test.to_dict(),
            "told": list(self.told),
            "history": self.history,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_pandas(self) -> pandas.DataFrame:
        """The history: a row for each of metrics.csv; what a row lacks is NaN.

        Raises:
            ConfigError: pandas is not installed.
        """
        table: pandas.DataFrame = find_pandas("history").DataFrame(self.history)
        return table

    def __repr__(self) -> str:
        told = [repr(str(self.folder)), self.config.architecture]
        for name, scores in (("test", self.test), ("validation", self.scores)):
            if scores is not None:
                head = scores.headline()
                told.append(f"{head.name} {head.value:.3f} on {name}")
        told += [f"{self.config.steps} steps", f"{self.seconds / 60:.1f} min"]
        return f"TrainResult({', '.join(told + ['interrupted'] * self.interrupted)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the score with its interval, the curves, what was chosen."""
        shown = self.test or self.scores  # the one that no choice has seen first
        curves = history_curves(self.history)
        sections: list[Section] = [curves] if curves.panels else []
        chosen: list[dict[str, Any]] = []
        with contextlib.suppress(ConfigError):  # the folder was moved: the rest is still shown
            chosen = self.choices
        if chosen:
            facts = [(one["name"], f"{one['value']}: {one['why']}") for one in chosen]
            sections.append(Facts(title="Chosen for the data and the budget", facts=facts))
        sections.append(settings("Settings", self.config.to_dict(), folded=True))
        return render_fragment(
            Report(
                title=f"{self.config.architecture} in {self.folder}",
                subtitle=" ".join(self.told) or "Nothing was scored.",
                headline=[] if shown is None else score_figures(shown, {}),
                sections=sections,
            )
        )
