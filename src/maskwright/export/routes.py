"""Routes: a graph in a precision, on a runtime: opened and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from maskwright.core.classes import Classes
from maskwright.core.sample import Sample
from maskwright.jobs.score import answers_of, common_tasks, score_sample, tasks_of
from maskwright.jobs.scorer import Scorer
from maskwright.jobs.scores import Scores
from maskwright.runtimes import Bundle, Predictor, open_bundle
from maskwright.runtimes.loading import Precision, Runtime
from maskwright.runtimes.ov import installed, supported_precisions

PrecisionName = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[PrecisionName, ...] = ("fp32", "fp16", "bf16", "int8")
"""fp16 is stored as fp16 and computed in fp32; bf16 is stored as fp32 and computed by OpenVINO."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to run a network.

    Attributes:
        precision: what the bundle would be shipped as.
        runtime: "onnxruntime" or "openvino".
        floats: what the runtime computes float operations in.
    """

    precision: PrecisionName
    runtime: Runtime
    floats: Precision

    def __str__(self) -> str:
        runtime = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[self.runtime]
        mixed = self.precision == "int8" and self.floats != "f32"
        return f"{self.precision} on {runtime}" + (f" ({self.floats} between)" if mixed else "")


def routes_of(precisions: Sequence[PrecisionName]) -> list[Route]:
    """The ways to run these precisions that this machine has; bf16 only where it is native."""
    native = supported_precisions() if installed() else ()
    floats: dict[PrecisionName, tuple[Precision, ...]] = {
        "fp32": ("f32",),
        "fp16": ("f32",),
        "bf16": ("bf16",),
        "int8": ("f32", "bf16"),
    }
    found = []
    for precision in precisions:
        if "f32" in floats[precision]:
            found.append(Route(precision=precision, runtime="onnxruntime", floats="f32"))
        found += [
            Route(precision=precision, runtime="openvino", floats=kind)
            for kind in floats[precision]
            if kind in native
        ]
    return found


def open_routes(
    routes: Sequence[Route],
    bundle: Bundle,
    graphs: Mapping[PrecisionName, bytes],
    threads: int | None,
) -> dict[Route, Predictor]:
    """A predictor for each route.

    Args:
        routes: to open.
        bundle: its card and name; the graph is taken from `graphs`.
        graphs: precision -> serialised ONNX.
        threads: None takes every core.

    Raises:
        ModelFileError: a runtime can't run a graph.
    """
    return {
        route: open_bundle(
            replace(bundle, graph=graphs[route.precision]),
            threads=threads,
            runtime=route.runtime,
            precision=route.floats,
        )
        for route in routes
    }


def score_images(
    predictors: Mapping[Route, Predictor],
    samples: Sequence[Sample],
    classes: Classes,
    progress: Callable[[int, int], None] | None = None,
    headline: str = "",
) -> dict[Route, Scores]:
    """Scores of every route on the same images, areas only.

    Args:
        predictors: by route, all of one network.
        samples: each labelled for one of its tasks.
        classes: of the truth.
        progress: called with (done, total).
        headline: the number that stands for the network; "": the mean of its tasks' headlines.

    Raises:
        DataError: no sample is labelled for what the network answers, or a file can't be read.
        ConfigError: the network lacks an answer, or has other classes.
    """
    card = next(iter(predictors.values())).card
    tasks = common_tasks(samples, tasks_of(card.tasks))
    scorers = {
        route: Scorer(classes, tasks, detail=False, headline=headline) for route in predictors
    }
    for done, sample in enumerate(samples, start=1):
        for route, predictor in predictors.items():
            score_sample(scorers[route], sample, answers_of(predictor))
        if progress is not None:
            progress(done, len(samples))
    return {route: scorer.scores() for route, scorer in scorers.items()}
