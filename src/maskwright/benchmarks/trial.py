"""One network of a comparison, trained and scored in a process of its own.

    python -m maskwright.benchmarks.trial JOB.json

A process of its own gives its memory back, can be measured, and may fail without taking the others
along. It ends, with its state kept, when the one that started it does. `training` is a run folder
like any other: what was trained can be exported.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.architectures import architecture
from maskwright.benchmarks.memory import peak_mib
from maskwright.core import machine
from maskwright.core.errors import MaskwrightError
from maskwright.core.files import write_json
from maskwright.core.sample import Dataset
from maskwright.metrics.overlap import none_for_nan
from maskwright.runtimes import Predictor
from maskwright.training import (
    RunFolder,
    Terminal,
    TrainConfig,
    TrainResult,
    checkpoint_predictor,
    resume,
    train,
)
from maskwright.training.preflight import DoesNotFitError

SCORED = ("val", "test", "train", "all")
"""Splits: the first that exists is scored."""

INTERRUPTED = 3
"""Exit code where the state is kept and the trial goes on another time."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial came to.

    Attributes:
        headline: the name of the score, such as "mIoU".
        score: its value, 0..1, of the last weights on the validation split, by PyTorch.
        numbers: every number of these weights by name, the headline among them.
        of_classes: class -> its IoU, AP or PQ; None where neither truth nor prediction has it.
        test_score, test_of_classes: the same on the test split; None and {} where there is none.
        steps, epochs: of training.
        precision: "fp32" or "bf16", of training.
        batch: images a step; fewer than was asked for where the memory didn't hold them, and then
            the gradients of so many more steps were summed.
        training_mib: 2^20 bytes that the process had resident at most.
    """

    headline: str
    score: float
    numbers: Mapping[str, float | None]
    of_classes: Mapping[str, float | None]
    test_score: float | None = None
    test_of_classes: Mapping[str, float | None]
    steps: int
    epochs: float
    precision: str
    batch: int
    training_mib: float


class Trial:
    """A trial under way in a process of its own, which ends when this one does."""

    def __init__(
        self, folder: Path, data: Path, config: TrainConfig, memory: int | None = None
    ) -> None:
        """Begin, or go on with one that was ended.

        Args:
            folder: for run, log and result; made where it is missing.
            data: the labelled set.
            config: every setting.
            memory: bytes that the process may take at most; None: what is free.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        job = folder / "job.json"
        write_json(job, {"data": str(data), "config": config.to_dict()})
        (folder / "result.json").unlink(missing_ok=True)
        share = {} if memory is None else {machine.MEMORY: str(memory)}
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "maskwright.benchmarks.trial", str(job)],
                stdin=subprocess.PIPE,  # open for as long as this process lives
                stdout=log,
                stderr=log,
                env={**os.environ, **share},
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Tell it to keep its state and end."""
        self._process.send_signal(signal.SIGINT)  # Python sends none to one that has ended

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait()

    def result(self) -> TrialResult:
        """Wait for it.

        Raises:
            MaskwrightError: the process failed; the text tells its last words.
            KeyboardInterrupt: it was interrupted; its state is kept.
        """
        code = self.wait()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        told = self.folder / "result.json"
        if code or not told.exists():
            raise MaskwrightError(_last_words(self.folder / "log", code))
        return TrialResult(**json.loads(told.read_text(encoding="utf-8")))


def _last_words(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code == -signal.SIGKILL:
        return "the system killed it, most likely because memory ran out"
    if code < 0:
        return f"signal {-code} ended it; see {log}"
    return (lines or [f"it ended with {code} and said nothing"])[-1].removeprefix("error: ")


def run_trial(folder: Path, data: Path, config: TrainConfig) -> TrialResult:
    """Train in this process, or go on, and score.

    Raises:
        MaskwrightError: as `train` and `resume`.
        KeyboardInterrupt: Ctrl-C ended the training, whose state is kept.
    """
    dataset = formats.read(data, tasks=architecture(config.architecture).card.tasks)
    run, progress = RunFolder(folder / "training", overwrite=True), Terminal(every=20)
    if run.resumable:
        result = resume(dataset, run.path, progress=progress)
    else:
        result = _train_in_parts(config, dataset, run.path, progress)
    if result.interrupted:
        raise KeyboardInterrupt
    training_mib = peak_mib()
    predictor = checkpoint_predictor(run.best, config.threads)
    scores = result.scores
    if scores is None:  # it was trained before, but not told
        scores = _score(predictor, dataset, *SCORED)
    head, test = scores.headline(), result.test
    if test is None and {"val", "test"} <= set(dataset.splits):
        test = _score(predictor, dataset, "test")
    return TrialResult(
        headline=head.name,
        score=head.value,
        numbers={name: none_for_nan(value) for name, value in scores.numbers().items()},
        of_classes=scores.of_classes(),
        test_score=None if test is None else test.headline().value,
        test_of_classes={} if test is None else test.of_classes(),
        steps=int(result.config.steps or 0),
        epochs=max(row["epoch"] for row in result.history),
        precision=result.config.precision,
        batch=result.config.batch,
        training_mib=training_mib,
    )


def _train_in_parts(
    config: TrainConfig, dataset: Dataset, place: Path, progress: Terminal
) -> TrainResult:
    """Train; a batch that doesn't fit into the memory is halved, and gradients are summed."""
    while True:
        try:
            return train(config, dataset, place, overwrite=True, progress=progress)
        except DoesNotFitError:
            if config.batch % 2:
                raise
            config = replace(config, batch=config.batch // 2, accumulate=2 * config.accumulate)
            progress.note(f"a batch is too much for the memory: parts of {config.batch}")


def _score(predictor: Predictor, dataset: Dataset, *splits: str) -> jobs.Scores:
    return jobs.score(
        dataset.split(*splits),
        jobs.answers_of(predictor),
        dataset.classes,
        tasks=jobs.tasks_of(predictor.card.tasks),
        detail=False,
    )


def _end_with_parent() -> None:
    """Interrupt this process when its standard input closes, which its parent holds open.

    A shell lets what it starts in the background ignore interrupts; here they count.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Run the job that a file tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path, help="as start_trial writes it")
    job = parser.parse_args().job
    _end_with_parent()
    try:
        told = json.loads(job.read_text(encoding="utf-8"))
        config = TrainConfig.from_dict(told["config"])
        result = run_trial(job.parent, Path(told["data"]), config)
        write_json(job.parent / "result.json", asdict(result))
    except MaskwrightError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
