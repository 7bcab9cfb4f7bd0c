"""`export_precise`: weights -> a bundle in the fastest precision whose loss is allowed.

The training set calibrates int8, and other images of it choose. Validation only measures what was
chosen, and may refuse it: so the drop that the card tells is not one that was searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from maskwright.architectures.contract import Network
from maskwright.core.card import ModelCard
from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.core.machine import processor, system
from maskwright.core.sample import Dataset, Sample
from maskwright.export.bundle import (
    ExportReport,
    check_against_torch,
    torch_predictor,
    write_checked,
)
from maskwright.export.choice import (
    Figures,
    explain,
    open_questions,
    rank,
    refuse_on_validation,
    warn_of_drop,
)
from maskwright.export.quantise import integer_layers, quantise, store_half
from maskwright.export.routes import (
    PRECISIONS,
    PrecisionName,
    Route,
    open_routes,
    routes_of,
    score_images,
)
from maskwright.jobs.score import labelled_for, tasks_of
from maskwright.jobs.scorer import require_same_classes
from maskwright.jobs.scores import Scores
from maskwright.jobs.turns import Timings, spread_of, take_turns
from maskwright.metrics import PairedInterval
from maskwright.report import Column, Figure, Report, Table, render_fragment
from maskwright.runtimes import Bundle, Predictor

CALIBRATION_IMAGES = 64
SLICE_IMAGES = 64
GATE_IMAGES = 16
ROUNDS = 10

Tell = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class PrecisionReport:
    """What was written and why.

    Attributes:
        export: the gate against torch, the path, the card.
        shipped: the route that the card recommends.
        drop: the headline of fp32 minus that of what ships, on validation, 0..1, with its interval.
        figures: of every route.
        eager_ms: median of PyTorch eager in fp32, in turns with the routes.
        why: what ships, and why others don't; a line each.
    """

    export: ExportReport
    shipped: Route
    drop: PairedInterval
    figures: tuple[Figures, ...]
    eager_ms: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        """What was measured, as plain data for JSON."""
        return {**self.export.card.measured, "bytes_on_disk": self.export.bytes_on_disk}

    @property
    def path(self) -> Path:
        """Of the bundle."""
        return self.export.path

    def __repr__(self) -> str:
        drop = self.drop
        return (
            f"PrecisionReport({str(self.path)!r}, {self.shipped}, drop {100 * drop.value:.2f} "
            f"points [{100 * drop.low:.2f}, {100 * drop.high:.2f}], "
            f"{self.export.bytes_on_disk / 2**20:.2f} MiB)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: what ships and why, each precision's figures, the gate."""
        drop, head = self.drop, self.figures[0].headline
        span = f"95 % interval {100 * drop.low:.2f} to {100 * drop.high:.2f}"
        figures = Table(
            title="Precisions",
            columns=(
                Column(name="Precision"),
                Column(name="ms", format=".1f", hint="median"),
                Column(name="Graph, MiB", format=".2f"),
                Column(name=f"{head} on the slice", format=".4f"),
                Column(name="Drop, points", format=".2f"),
            ),
            rows=[
                (str(one.route), one.median_ms, one.graph_bytes / 2**20, one.score, one.drop)
                for one in self.figures
            ]
            + [("PyTorch eager", self.eager_ms, None, None, None)],
            note=self.why,
        )
        return render_fragment(
            Report(
                title=str(self.path),
                subtitle=f"Ships as {self.shipped}.",
                headline=[
                    Figure(label="Drop, points", value=f"{100 * drop.value:.2f}", note=span),
                    Figure(label="Bundle", value=f"{self.export.bytes_on_disk / 2**20:.2f} MiB"),
                ],
                sections=[figures, *self.export.sections()],
            )
        )


def export_precise(
    network: Network,
    card: ModelCard,
    path: Path | str,
    dataset: Dataset,
    *,
    precision: PrecisionName | Literal["auto"] = "auto",
    max_drop: float = 0.5,
    threads: int | None = None,
    rounds: int = ROUNDS,
    probabilities: bool = False,
    progress: Tell | None = None,
) -> PrecisionReport:
    """Export in the precisions asked for, measure them, and write the best that may ship.

    Args:
        network: trained; left as it was.
        card: of the network; `measured["export"]` and `measured["precision"]` are added.
        path: of the bundle, ".mask".
        dataset: with the split "train" to calibrate and choose on, and "val" (or "test").
        precision: "auto" tries all that this machine has; another one ships unless it loses more
            than `max_drop`, even where it is slower.
        max_drop: points of the headline (0..100; of mIoU, AP ...) that may be lost, on the slice
            and on validation.
        threads: to measure with; None takes every core.
        rounds: turns, of three timed answers, that each route gets; up to four times as many more
            while they leave open whether a precision is faster.
        probabilities: whether the bundle, and all that is measured, works them out, too.
        progress: called with (done, total) while images are scored.

    Raises:
        ModelFileError: torch and the runtimes disagree, or the precision that was named loses more
            than `max_drop`; nothing is written.
        ConfigError: an unknown precision, one that this machine lacks, or other classes than the
            data's.
        DataError: a split is missing or unlabelled, or a file can't be read.
        MaskwrightError: the folder can't be written or the disk is full.
    """
    precisions = _precisions(precision, max_drop)
    require_same_classes(card.classes, dataset.classes)
    calibration, part = training_parts(_labelled(dataset, card, "train"))
    validation = _labelled(dataset, card, "val", "test")
    photos = [sample.read_image() for sample in spread(validation, GATE_IMAGES)]
    checked = check_against_torch(
        network, card, path, photos, threads=threads, probabilities=probabilities
    )
    graphs, failed = make_graphs(checked.bundle, precisions, calibration)
    _refuse_failed(path, precision, failed)
    predictors = open_routes(routes_of(tuple(graphs)), checked.bundle, graphs, threads)
    eager = torch_predictor(network, card, probabilities=probabilities)
    scored = score_images(predictors, part, dataset.classes, progress)

    def settled(timings: Mapping[Route | None, Timings]) -> bool:
        return precision != "auto" or not open_questions(
            measured(scored, graphs, timings), max_drop
        )

    timings = time_beside_eager(eager, predictors, photos, rounds, settled)
    figures = measured(scored, graphs, timings)
    eager_ms = spread_of(timings[None].turns_ms()).value
    drop_of = partial(
        validation_drop, predictors, samples=validation, dataset=dataset, progress=progress
    )
    chosen, drop, refused = choose(figures, max_drop, drop_of, named=precision != "auto")
    _refuse_another(path, precision, chosen.route, refused)
    warning = warn_of_drop(chosen.route, 100 * drop.high, max_drop, chosen.headline)
    more = [f"{name}: {text}" for name, text in failed.items()] + ([warning] if warning else [])
    why = "\n".join([explain(chosen, figures, refused, eager_ms), *more])
    facts = {
        "shipped": chosen.route.precision,
        "recommended": {"runtime": chosen.route.runtime, "precision": chosen.route.floats},
        "max_drop_points": max_drop,
        "drop_may_pass": warning is not None,
        "eager_ms": eager_ms,
        "speed_up_over_eager": eager_ms / chosen.median_ms,
        "validation_drop": drop.to_dict(),
        "candidates": [each.to_dict() | {"refused": refused.get(each.route)} for each in figures],
        "why": why,
        "integer_layers": integer_layers(graphs[chosen.route.precision]),
        "calibration_images": len(calibration) if "int8" in graphs else 0,
        "slice_images": len(part),
        **_machine(predictors),
    }
    written = write_checked(checked, path, graphs[chosen.route.precision], {"precision": facts})
    return PrecisionReport(
        export=written,
        shipped=chosen.route,
        drop=drop,
        figures=tuple(figures),
        eager_ms=eager_ms,
        why=why,
    )


def _refuse_failed(path: Path | str, precision: str, failed: Mapping[PrecisionName, str]) -> None:
    if failed and precision != "auto":
        raise ModelFileError(f"{path} was not written: {'; '.join(failed.values())}")


def _refuse_another(
    path: Path | str, precision: str, chosen: Route, refused: Mapping[Route, str]
) -> None:
    if precision in ("auto", chosen.precision):
        return
    reasons = "; ".join(f"{route}: {reason}" for route, reason in refused.items())
    raise ModelFileError(
        f"{path} was not written: precision {precision} may not ship ({reasons}). Choose "
        "precision auto, or raise max_drop knowingly."
    )


def training_parts(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Training images to calibrate on and others to choose on, both spread over the set.

    A set of one image gives it to both.
    """
    slice_count = min(SLICE_IMAGES, max(1, len(samples) // 2))
    part = spread(samples, slice_count)
    taken = {id(sample) for sample in part}
    rest = [sample for sample in samples if id(sample) not in taken] or part
    return spread(rest, CALIBRATION_IMAGES), part


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` samples at even distances: neighbours are often frames of one scene."""
    if len(samples) <= count:
        return list(samples)
    return [samples[at * len(samples) // count] for at in range(count)]


def make_graphs(
    bundle: Bundle, precisions: Sequence[PrecisionName], calibration: Sequence[Sample]
) -> tuple[dict[PrecisionName, bytes], dict[PrecisionName, str]]:
    """The graph of each precision, and why there is none of the others.

    Args:
        bundle: with the fp32 graph.
        precisions: wanted.
        calibration: training images for int8.
    """
    graphs: dict[PrecisionName, bytes] = {}
    failed: dict[PrecisionName, str] = {}
    for name in precisions:
        if name == "fp16":
            graphs[name] = store_half(bundle.graph)
        elif name == "int8":
            try:
                graphs[name] = quantise(bundle.graph, _inputs(bundle.card, calibration))
            except ModelFileError as error:
                failed[name] = str(error)
        else:
            graphs[name] = bundle.graph
    return graphs, failed


def time_beside_eager(
    eager: Predictor,
    predictors: Mapping[Route, Predictor],
    photos: Sequence[np.ndarray],
    rounds: int,
    settled: Callable[[Mapping[Route | None, Timings]], bool] | None = None,
) -> dict[Route | None, Timings]:
    """Time every route in turns, and PyTorch eager as None.

    Args:
        eager: the PyTorch side.
        predictors: by route; eager gets as many threads.
        photos: to time on.
        rounds: turns that each gets.
        settled: as of `take_turns`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(next(iter(predictors.values())).runtime["threads"])
    try:
        return take_turns({**predictors, None: eager}, photos, rounds, settled=settled)
    finally:
        torch.set_num_threads(before)


def measured(
    scored: Mapping[Route, Scores],
    graphs: Mapping[PrecisionName, bytes],
    timings: Mapping[Route | None, Timings],
) -> list[Figures]:
    """Each route's headline on the slice, its drop below fp32 there, and its times.

    Args:
        scored: by route; the first of fp32 is what the others are held against.
        graphs: by precision, for their sizes.
        timings: by route.
    """
    heads = {route: scores.headline() for route, scores in scored.items()}
    plain = heads[_reference(scored)].value
    return [
        Figures(
            route=route,
            turns_ms=timings[route].turns_ms(),
            graph_bytes=len(graphs[route.precision]),
            score=head.value,
            drop=100 * (plain - head.value),
            headline=head.name,
        )
        for route, head in heads.items()
    ]


def validation_drop(
    predictors: Mapping[Route, Predictor],
    route: Route,
    samples: Sequence[Sample],
    dataset: Dataset,
    progress: Tell | None = None,
) -> PairedInterval:
    """The headline of fp32 minus that of a route, on validation, with its paired interval."""
    plain = _reference(predictors)
    pair = {each: predictors[each] for each in (plain, route)}
    scored = score_images(pair, samples, dataset.classes, progress)
    return scored[plain].headline_gain(scored[route])


def choose(
    figures: Sequence[Figures],
    max_drop: float,
    drop_of: Callable[[Route], PairedInterval],
    *,
    named: bool = False,
) -> tuple[Figures, PairedInterval, dict[Route, str]]:
    """The best that validation doesn't refuse, its drop there, and why each refused one was.

    Args:
        figures: of every route.
        max_drop: in points.
        drop_of: measures a route's drop on validation.
        named: the user named a precision: it goes before fp32, however fast it is.
    """
    ranked, refused = rank(figures, max_drop, by_speed=not named)
    if named:
        ranked.sort(key=lambda each: (each.route.precision == "fp32", each.median_ms))
    for each in ranked:
        drop = drop_of(each.route)
        reason = refuse_on_validation(100 * drop.value, max_drop, each.headline)
        if reason is None or each.route.precision == "fp32":
            return each, drop, refused
        refused[each.route] = reason
    raise ConfigError(f"expected fp32 among the routes, got {len(figures)} without it.")


def _precisions(precision: str, max_drop: float) -> tuple[PrecisionName, ...]:
    if not max_drop >= 0:
        raise ConfigError(f"expected max_drop of 0 points or more, got {max_drop}.")
    found = tuple(name for name in PRECISIONS if precision in ("auto", name) or name == "fp32")
    if precision != "auto" and precision not in PRECISIONS:
        raise ConfigError(f"expected precision auto, {', '.join(PRECISIONS)}, got {precision!r}.")
    if precision == "bf16" and not routes_of(("bf16",)):
        raise ConfigError(
            f"precision 'bf16' needs OpenVINO and a processor that has it, {processor()} or its "
            "OpenVINO has not; choose precision auto, int8, fp16 or fp32."
        )
    return found


def _labelled(dataset: Dataset, card: ModelCard, *splits: str) -> list[Sample]:
    samples = dataset.split(*splits)
    found = labelled_for(samples, tasks_of(card.tasks))
    if not found:
        raise DataError(
            f"none of the {len(samples)} samples of {dataset.root} ({' or '.join(splits)}) is "
            f"labelled with {', '.join(card.tasks)}, which choosing a precision needs; choose "
            "precision fp32."
        )
    return list(found)


def _inputs(card: ModelCard, samples: Sequence[Sample]) -> list[np.ndarray]:
    """What the runtime would give the graph: the card's resize, channels first."""
    resized = (card.resize.apply(sample.read_image())[0] for sample in samples)
    return [image_HW3.transpose(2, 0, 1)[None].copy() for image_HW3 in resized]


def _reference(routes: Iterable[Route]) -> Route:
    return next(route for route in routes if route.precision == "fp32")


def _machine(predictors: Mapping[Route, Predictor]) -> dict[str, Any]:
    facts = [predictor.runtime for predictor in predictors.values()]
    return {
        "threads": facts[0]["threads"],
        "versions": {each["name"]: each["version"] for each in facts},
        "processor": processor(),
        "system": system(),
    }
