"""`maskwright.compare`: which network is worth its time on this data and this processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.files import refuse_output
from maskwright.core.telling import Note, no_note

if TYPE_CHECKING:
    from maskwright.benchmarks import Comparison

DEFAULT_OUT = Path("comparison")


def compare(
    data: Path | str,
    models: str | Sequence[str] = "",
    *,
    pareto_of: Path | str | None = None,
    most: int = 8,
    budget: str | float = "5m",
    size: tuple[int, int] | None = None,
    out: Path | str = DEFAULT_OUT,
    jobs: int = 1,
    threads: int | None = None,
    answer_threads: int | None = None,
    rounds: int = 20,
    settings: Mapping[str, Any] | None = None,
    note: Note = no_note,
) -> Comparison:
    """Train several networks alike and compare them; the same call again goes on.

        maskwright.compare("data", "bisenetv2, unet-lite0", budget="10m")

    Accuracy stands against latency, parameters, operations and memory, in what is given back and
    on the page report.html in `out`.

    Args:
        data: the labelled set: a folder or a COCO file; each network trains in a process of its
            own, which reads it there.
        models: architectures' names, with commas between or one by one; "small": a small one of
            each family.
        pareto_of: folder of an earlier comparison, whose best at each speed are compared again.
        most: of those, at most so many.
        budget: training for each: seconds, or "5m".
        size: (height, width) of the network's input; suggested by the data unless given.
        out: folder of the comparison.
        jobs: networks that train side by side.
        threads: of each training; the jobs share the cores unless given.
        answer_threads: of the timed answers; all cores unless given.
        rounds: timed turns of each model, of 3 answers; 0: later.
        settings: of all trainings, such as {"lr": 3e-4}.
        note: told what happens.

    Raises:
        ConfigError: unknown models or settings; `out` holds another comparison.
        DataError: the data can't be read.
    """
    from maskwright.benchmarks import compare_models, pareto_names
    from maskwright.training import parse_duration

    refuse_output(out, "comparison", [data, pareto_of])
    listed = models.split(",") if isinstance(models, str) else models
    names = [name.strip() for name in listed if name.strip()]
    return compare_models(
        data,
        [*names, *(pareto_names(Path(pareto_of), most) if pareto_of else ())],
        out,
        budget=parse_duration(budget) if isinstance(budget, str) else budget,
        size=size,
        jobs=jobs,
        threads=threads,
        answer_threads=answer_threads,
        rounds=rounds,
        changes=settings,
        note=note,
    )
