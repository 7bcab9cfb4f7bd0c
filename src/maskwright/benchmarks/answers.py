"""The second half of a comparison: how fast the trained networks answer, and what ships scores."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import maskwright.formats as formats
from maskwright.benchmarks.comparison import Comparison
from maskwright.benchmarks.comparison_row import ComparisonRow
from maskwright.benchmarks.latency import LatencyRow, compare_subjects
from maskwright.benchmarks.memory import measure_memory
from maskwright.benchmarks.subjects import Subject, open_subject
from maskwright.benchmarks.tables import fastest
from maskwright.core.errors import MaskwrightError
from maskwright.core.sample import Dataset, Sample
from maskwright.jobs.score import answers_of, score, tasks_of
from maskwright.jobs.turns import Spread, Timings, paired_ratio, spread_of, take_turns
from maskwright.runtimes import Predictor, open_bundle
from maskwright.runtimes.session import thread_count
from maskwright.training import checkpoint_predictor
from maskwright.training.run_folder import environment

PHOTOS = 8
"""Of the validation split are answered in turns."""

TRIAL_ROUNDS, TRIAL_SECONDS = 5, 10.0
"""For each model, to find which runtimes may be its fastest."""

NEAR = 1.2
"""Ways whose medians are so near to the fastest's are timed against it in turns of their own."""

CLEAR = 1.05
"""Ratios up to this are taken as equal; of equal ways the one that computes exactly is taken."""

STEADY = 0.1
"""A median's interval may be so wide, of the median, before there are more turns."""

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Contestant:
    """A model that is ready to be timed.

    Attributes:
        row: to be completed.
        bundle: its file.
        basic: PyTorch eager.
        best: the fastest runtime.
        way: of that, as it was found.
        unsure: why another one may be as fast; "" where none is.
    """

    row: ComparisonRow
    bundle: Path
    basic: Predictor
    best: Predictor
    way: LatencyRow
    unsure: str = ""


def time_all(
    comparison: Comparison,
    data: Path | str,
    *,
    threads: int | None = None,
    rounds: int = 20,
    note: Note = print,
) -> None:
    """Complete the rows of the models that are trained, all timed in one run.

    Each model's fastest runtime is found first; then PyTorch and that runtime of all models take
    turns, more of them while their times are not steady. What the fastest runtime answers is
    scored: that is what would ship.

    Args:
        comparison: with trained models in its folder; it is written after each is scored.
        data: that they were trained on.
        threads: of the answers; None takes every core.
        rounds: turns of each model, of three timed answers; up to four times as many more.
        note: told what happens.

    Raises:
        DataError: the data can't be read.
        MaskwrightError: the folder can't be written.
    """
    dataset = formats.read(data)
    samples = dataset.split("val", "test", "train", "all")
    step = max(1, len(samples) // PHOTOS)
    images = [sample.read_image() for sample in samples[::step][:PHOTOS]]
    threads = thread_count(threads)
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        contestants: list[_Contestant] = []
        for row in [row for row in comparison.rows.values() if row.score is not None]:
            note(f"{row.name}: looking for its fastest runtime")
            try:
                found = _open(comparison, row, Path(folder), images, threads, rounds)
                contestants.append(found)
            except (MaskwrightError, RuntimeError) as error:
                comparison.rows[row.name] = replace(row, error=f"not timed: {error}")
        note(f"timing {len(contestants)} models in turns")
        predictors = {
            (one.row.name, way): predictor
            for one in contestants
            for way, predictor in (("basic", one.basic), ("best", one.best))
        }
        timings = take_turns(predictors, images, rounds, settled=_steady)
        turns = max((len(each.turns_ms()) for each in timings.values()), default=0)
        comparison.facts["timing"] = {**environment(), "threads": threads, "rounds": turns}
        for one in contestants:
            note(f"{one.row.name}: scoring what {one.way.name} answers")
            spreads = {
                way: spread_of(timings[one.row.name, way].turns_ms()) for way in ("basic", "best")
            }
            unsure = one.unsure or _unsteady(spreads["best"])
            if unsure:
                note(f"{one.row.name}: {unsure}")
            comparison.rows[one.row.name] = replace(
                one.row,
                basic_ms=float(np.median(timings[one.row.name, "basic"].network_ms)),
                best_ms=float(np.median(timings[one.row.name, "best"].network_ms)),
                basic_span=(spreads["basic"].low, spreads["basic"].high),
                best_span=(spreads["best"].low, spreads["best"].high),
                unsure=unsure,
                **_facts(one),
                **_scores(one, dataset, samples),
            )
            comparison.write()


def _open(
    comparison: Comparison,
    row: ComparisonRow,
    folder: Path,
    images: Sequence[np.ndarray],
    threads: int,
    rounds: int,
) -> _Contestant:
    """Export a model and find what runs it fastest."""
    run = comparison.folder / "runs" / row.name / "training"
    own = folder / row.name
    own.mkdir()
    subject = replace(open_subject(run, own), name=row.name)
    rows, _ = compare_subjects(
        [subject],
        images,
        threads=threads,
        rounds=min(TRIAL_ROUNDS, rounds),
        seconds=TRIAL_SECONDS,
    )
    way, unsure = _fastest_way(
        subject, [one for one in rows if one.runtime != "torch"], images, min(TRIAL_ROUNDS, rounds)
    )
    return _Contestant(
        row=replace(row, error=""),
        bundle=Path(subject.bundle.source),
        basic=checkpoint_predictor(run / "best.safetensors", threads),
        best=_shipped(subject, way),
        way=way,
        unsure=unsure,
    )


def _fastest_way(
    subject: Subject, ways: Sequence[LatencyRow], images: Sequence[np.ndarray], rounds: int
) -> tuple[LatencyRow, str]:
    """The fastest way to run a model, and what can't be told of the others.

    Those that may be the fastest take turns with each other until each of them is told apart from
    the fastest, or taken as equal.
    """
    first = fastest(ways)
    near = [way for way in ways if way.median_ms <= NEAR * first.median_ms]
    if len(near) == 1:
        return first, ""
    predictors = {place: _shipped(subject, way) for place, way in enumerate(near)}
    timings = take_turns(
        predictors, images, rounds, settled=lambda timings: not _undecided(timings)
    )
    undecided = _undecided(timings)
    best = _quickest(timings)
    equal = [
        place
        for place in timings
        if paired_ratio(timings[place].turns_ms(), timings[best].turns_ms()).beyond(CLEAR) is False
    ]
    chosen = min(equal, key=lambda place: (near[place].precision != "f32", place != best))
    open_ones = ", ".join(near[place].name for place in undecided)
    if not open_ones:
        return near[chosen], ""
    return near[chosen], f"too busy to tell whether {open_ones} is slower than {near[best].name}"


def _quickest(timings: Mapping[int, Timings]) -> int:
    return min(timings, key=lambda place: spread_of(timings[place].turns_ms()).value)


def _undecided(timings: Mapping[int, Timings]) -> list[int]:
    """Those of which the turns don't tell whether they are slower than the quickest."""
    best = timings[_quickest(timings)].turns_ms()
    return [
        place
        for place, each in timings.items()
        if paired_ratio(each.turns_ms(), best).beyond(CLEAR) is None
    ]


def _steady(timings: Mapping[tuple[str, str], Timings]) -> bool:
    return not any(_unsteady(spread_of(each.turns_ms())) for each in timings.values())


def _unsteady(spread: Spread) -> str:
    """What is to be said of times that vary too much; "" of others."""
    if spread.high - spread.low <= STEADY * spread.value:
        return ""
    return f"this machine is busy: {spread.low:.1f} to {spread.high:.1f} ms"


def _shipped(subject: Subject, way: LatencyRow) -> Predictor:
    runtime, precision = way.runtime, way.precision
    return open_bundle(
        subject.bundle,
        threads=way.threads,
        runtime=runtime,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
    )


def _facts(one: _Contestant) -> dict[str, Any]:
    memory = measure_memory(
        one.bundle, threads=one.way.threads, runtime=one.way.runtime, precision=one.way.precision
    )
    return {
        "best": one.way.name,
        "agreement": one.way.agreement,
        "peak_mib": memory.peak_mib,
        "file_mib": one.bundle.stat().st_size / 2**20,
    }


def _scores(one: _Contestant, dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    """Of the fastest runtime's answers, boundaries and thin parts too."""
    tasks = tasks_of(one.best.card.tasks)
    scores = score(samples, answers_of(one.best), dataset.classes, tasks=tasks)
    interval, numbers = scores.headline_interval(), scores.numbers()
    return {
        "best_score": scores.headline().value,
        "interval": None if interval is None else (interval.low, interval.high),
        **{
            name.replace(" ", "_").lower(): numbers[name]
            for name in ("boundary IoU", "boundary F", "thin IoU")
            if name in numbers and not math.isnan(numbers[name])
        },
    }
