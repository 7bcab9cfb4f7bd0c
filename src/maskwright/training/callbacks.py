"""What a run tells while it runs: the protocol under the progress bar and every log.

class Messenger(Callback):
    def score(self, step, name, value, best, scores):
        send(f"{name} {value:.3f} after {step} steps")

train(config, dataset, "runs/mine", callbacks=[Messenger()])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Scored(Protocol):
    """What a validation split came to."""

    def row(self) -> dict[str, float]:
        """The main figures by name, such as miou and pixel_accuracy."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, plain data for JSON."""


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """A run that is about to make its first step.

    Attributes:
        folder: of the run.
        settings: every setting, resolved, with the facts of the data: what config.json holds.
        step: steps made so far; above 0 where the run is resumed.
        steps: how many there are in all.
        history: the rows of metrics.csv so far.
        began: by `time.perf_counter`, in seconds; time between an end and its resumption is left
            out.
    """

    folder: Path
    settings: Mapping[str, Any]
    step: int
    steps: int
    history: Sequence[Mapping[str, float]]
    began: float


class Callback:
    """Told what a run comes to; whatever isn't of interest is left as it is here.

    Of many processes that train together, callbacks run in the first one only. An error in one
    ends the run, whose state is kept; one in a log is told once, and the run goes on without it.
    """

    def start(self, run: RunStart) -> None:
        """The first step is next; of a resumed run, too."""

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """A step was made.

        Args:
            step: its number, from 1.
            steps: how many there are.
            loss: mean over the steps since the last row of metrics.csv.
            rate: the learning rate.
        """

    def score(self, step: int, name: str, value: float, best: bool, scores: Scored) -> None:
        """The validation split was scored; weights and state are saved already.

        Args:
            step: steps made so far.
            name: of the headline, the score that chooses the best weights, such as "mIoU".
            value: of the headline.
            best: whether no earlier one was as high.
            scores: all of them.
        """

    def end(self, result: Any) -> None:
        """The run is over, by its last step, by Ctrl-C or by an error.

        Args:
            result: the `TrainResult`, with its report written; None if an error ended the run.
        """

    def note(self, text: str) -> None:
        """Something the user should know, in one sentence."""
