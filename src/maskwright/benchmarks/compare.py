"""`compare`: which network is worth its time on this data and this processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import maskwright.formats as formats
from maskwright.architectures import architecture, build
from maskwright.benchmarks.answers import time_all
from maskwright.benchmarks.candidates import find_candidates, starts_from_imagenet, trial_config
from maskwright.benchmarks.comparison import Comparison, read_record
from maskwright.benchmarks.comparison_row import ComparisonRow, pareto
from maskwright.benchmarks.subjects import count_gflop
from maskwright.benchmarks.trial import Trial
from maskwright.core import machine
from maskwright.core.errors import ConfigError, MaskwrightError
from maskwright.core.locking import alone
from maskwright.report import write_report
from maskwright.training import TrainConfig, suggest_size

Note = Callable[[str], None]


@alone("out")
def compare_models(
    data: Path | str,
    models: Sequence[str],
    out: Path | str,
    *,
    budget: float = 300.0,
    size: tuple[int, int] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    answer_threads: int | None = None,
    rounds: int = 20,
    changes: Mapping[str, Any] | None = None,
    note: Note = print,
) -> Comparison:
    """`train_all`, then `time_all`, then the page; what was done before is not done again.

    Args:
        data, models, out, budget, size, jobs, threads, changes, note: as of `train_all`.
        answer_threads, rounds: as `threads`, `rounds` of `time_all`; 0 rounds leave it out.

    Raises:
        ConfigError, DataError, MaskwrightError, KeyboardInterrupt: as `train_all`, `time_all`.
    """
    machine.thread_count(answer_threads, "answer_threads")
    if rounds < 0:
        raise ConfigError(f"expected rounds of 0 (not timed) or more, got {rounds}.")
    comparison = train_all(
        data,
        models,
        out,
        budget=budget,
        size=size,
        jobs=jobs,
        threads=threads,
        changes=changes,
        note=note,
    )
    page = Path(out) / "report.html"
    write_report(page, comparison.report())
    trained = [row for row in comparison.rows.values() if row.score is not None]
    if rounds and any(row.best_ms is None for row in trained):
        time_all(comparison, data, threads=answer_threads, rounds=rounds, note=note)
        write_report(page, comparison.report())
    return comparison


def pareto_names(earlier: Path, most: int = 8) -> list[str]:
    """The models of an earlier comparison that none beats in both accuracy and latency.

    Args:
        earlier: its folder, or its comparison.json.
        most: at most so many, as `pareto` chooses.

    Raises:
        ConfigError: no comparison lies there, or it has no timing yet.
    """
    rows = [ComparisonRow.from_dict(row) for row in read_record(earlier)["rows"]]
    names = [row.name for row in pareto(rows, most)]
    if not names:
        raise ConfigError(
            f"expected models with accuracy and latency in {earlier}, got none of {len(rows)}; "
            "finish that comparison first, with its timing."
        )
    return names


def train_all(
    data: Path | str,
    models: Sequence[str],
    out: Path | str,
    *,
    budget: float,
    size: tuple[int, int] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    changes: Mapping[str, Any] | None = None,
    note: Note = print,
) -> Comparison:
    """Train every model for the same time, each in a process of its own; go on where it was ended.

    A model that fails is noted with the reason and tried again when the comparison is started
    again; the others go on.

    Args:
        data: the labelled set.
        models: keys of `ARCHITECTURES`, or "small".
        out: the comparison's folder.
        budget: seconds of training steps for each, by the processor's time.
        size: (height, width) of the input; suggested by the data unless given.
        jobs: networks that train side by side; each has an equal share of the free memory.
        threads: of each training; None shares the cores among the jobs.
        changes: settings of `TrainConfig` that all models share.
        note: told what happens.

    Raises:
        ConfigError: unknown models or settings; `out` holds another comparison.
        DataError: the data can't be read.
        KeyboardInterrupt: the models under way keep their state.
    """
    if jobs < 1:
        raise ConfigError(f"expected at least one job, got {jobs}.")
    names = find_candidates(models)
    dataset = formats.read(data, tasks=architecture(names[0]).card.tasks)
    size = size or suggest_size(dataset)
    threads = max(1, machine.usable_cores() // jobs) if threads is None else threads
    machine.thread_count(threads)
    shared = {**(changes or {}), "threads": threads}
    configs = {name: trial_config(name, size, budget, shared) for name in names}
    comparison = Comparison(Path(out), _settings(Path(data), configs[names[0]]))
    missing = [name for name in names if not _trained(comparison, name)]
    numbers = {name: f"{number}/{len(names)}" for number, name in enumerate(names, 1)}

    def begin(name: str, memory: int | None) -> Trial:
        note(f"{numbers[name]}  {name}: training for {budget / 60:g} min")
        folder = comparison.folder / "runs" / name
        return Trial(folder, Path(data).resolve(), configs[name], memory)

    with closing(_side_by_side(missing, begin, jobs)) as ended:
        for name, trial in ended:
            row = _row(name, trial, configs[name], len(dataset.classes), jobs)
            comparison.keep(row)
            note(f"{numbers[name]}  {name}: {row.error or f'{row.headline} {row.score:.4f}'}")
    return comparison


def _trained(comparison: Comparison, name: str) -> bool:
    return name in comparison.rows and comparison.rows[name].score is not None


def _settings(data: Path, config: TrainConfig) -> dict[str, Any]:
    """What all rows have in common."""
    own = {"architecture", "options", "epochs", "steps"}
    shared = {key: value for key, value in config.to_dict().items() if key not in own}
    return {"data": data.name, **shared}


def _side_by_side(
    names: Sequence[str], begin: Callable[[str, int | None], Trial], jobs: int
) -> Generator[tuple[str, Trial]]:
    """Have `jobs` trials under way until none is left; each comes out when it has ended."""
    memory = machine.available_memory() // jobs if jobs > 1 else None
    waiting, running = list(names), dict[str, Trial]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = begin(name, memory)
            for name in [name for name, trial in running.items() if trial.ended]:
                yield name, running.pop(name)
            time.sleep(0.05)
    finally:  # where all is well, none is left
        for trial in running.values():
            trial.interrupt()
        for trial in running.values():
            trial.wait()


def _row(name: str, trial: Trial, config: TrainConfig, classes: int, jobs: int) -> ComparisonRow:
    row = ComparisonRow(
        name=name,
        title=architecture(name).card.title,
        initial_weights="ImageNet" if starts_from_imagenet(name) else "random",
        jobs=jobs,
    )
    try:
        result = trial.result()
    except MaskwrightError as error:
        return replace(row, error=str(error))
    with torch.device("meta"):
        network = build(name, classes)
    return replace(
        row,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=count_gflop(network, config.size),
        **asdict(result),
    )
