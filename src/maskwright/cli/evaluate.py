"""`maskwright evaluate`: a model, or anybody's predictions on files, against a labelled set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwright.cli.refining import Asked, RefineOption, RefineSettings, refine_as_asked

if TYPE_CHECKING:
    from maskwright.core import Dataset, ModelCard, Sample
    from maskwright.jobs import Find, Scores
    from maskwright.metrics import Interval
    from maskwright.report import Column

_FOUND = "A model (bundle, checkpoint, run folder), or predictions on files: a folder of masks or YOLO rows, a COCO .json."  # noqa: E501


def evaluate(
    found: Annotated[Path, typer.Argument(metavar="MODEL|PREDICTIONS", help=_FOUND)],
    data: Annotated[Path, typer.Argument(help="The labelled set.")],
    split: Annotated[str, typer.Option(help="Which split; val, test or all unless given.")] = "",
    ignore: Annotated[list[str] | None, typer.Option(help="Class to leave out.")] = None,
    protocol: Annotated[
        str, typer.Option(help="For objects: coco, voc07, voc10, cityscapes or ultralytics.")
    ] = "coco",
    ci: Annotated[bool, typer.Option("--ci", help="95 % intervals over the images.")] = False,
    against: Annotated[
        Path | None, typer.Option(help="Another model or predictions, for a paired comparison.")
    ] = None,
    vertices: Annotated[
        str, typer.Option(help="What corners of YOLO polygons mean: centre or edge.")
    ] = "centre",
    skip_bad: Annotated[bool, typer.Option(help="Go on past faulty images; counted.")] = False,
    threads: Annotated[int | None, typer.Option(help="All cores unless given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the scores as JSON.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page.")] = None,
    refine: RefineOption = "",
    set_: RefineSettings = None,
) -> None:
    """Score a model, or predictions on files.

    Class maps, objects, panoptic segments: whatever both sides hold, at the images' own resolution,
    over all images together, objects under the named protocol.
    """
    import maskwright.formats as formats
    import maskwright.jobs as jobs
    from maskwright.cli.console import bar, say
    from maskwright.core.files import refuse_output, write_json

    if out is not None:
        refuse_output(out, "scores", [found, data, against])
    if report is not None:
        refuse_output(report, "page", [found, data, against], "--report")
    dataset = formats.read(data, ignore=ignore or (), strict=not skip_bad)
    for note in dataset.notes:
        say(note)
    order = (split,) if split else ("val", "test", "all", "train")
    samples = dataset.split(*order)
    scored_split = next(name for name in order if name in dataset.splits)
    remark = ""
    sides = [found, *([against] if against else [])]
    scored: list[Scores] = []
    finds: list[Find] = []
    for side in sides:
        asked = Asked(refine, set_) if side is found else Asked()
        find, tasks, card = _open(side, dataset, samples, vertices, threads, asked)
        if side is found:
            remark = _remark(card, dataset, scored_split)
        with bar(f"scoring {side.name}") as progress:
            scored.append(
                jobs.score(
                    samples,
                    find,
                    dataset.classes,
                    tasks=tasks,
                    protocol=protocol,
                    skip_bad=skip_bad,
                    progress=progress,
                )
            )
        finds.append(find)
    intervals = scored[0].intervals() if ci or report else {}
    gains = jobs.compare(scored[0], scored[1]) if against else {}
    _show(scored[0], intervals if ci else {})
    if remark:
        say(remark)
    if against:
        _show_gains(found, against, gains)
    if out is not None:
        write_json(out, _plain(scored, sides, intervals if ci else {}, gains))
        say(f"scores: {out}")
    if report is not None:
        title = f"{found.name} on {dataset.root.name}"
        jobs.write_score_report(
            report,
            title,
            scored[0],
            samples,
            finds[0],
            jobs.Around(
                intervals=intervals,
                gains=gains,
                other=against.name if against else "",
                remark=remark,
            ),
        )
        say(f"report: {report}")


def _open(
    found: Path,
    dataset: Dataset,
    samples: Sequence[Sample],
    vertices: str,
    threads: int | None,
    asked: Asked,
) -> tuple[Find, frozenset[Any], ModelCard | None]:
    """What answers for a sample, the tasks it answers, a model's card; --refine: one side only."""
    import maskwright.formats as formats
    import maskwright.jobs as jobs
    from maskwright.cli.console import is_model, open_predictor, say
    from maskwright.core.errors import ConfigError, DataError

    if is_model(found):
        predictor = open_predictor(found, threads)
        refine_as_asked(predictor, asked)
        jobs.require_same_classes(predictor.card.classes, dataset.classes)
        return jobs.answers_of(predictor), jobs.tasks_of(predictor.card.tasks), predictor.card
    if asked.name:
        raise ConfigError(f"--refine needs a model, which sees the images; {found} is none.")
    if vertices not in ("centre", "edge"):
        raise ConfigError(f"expected --vertices centre or edge, got {vertices!r}.")
    try:
        predictions = formats.read_predictions(found, dataset, samples, {"vertices": vertices})
    except DataError as error:
        if found.is_dir() and not any(found.iterdir()):
            raise DataError(f"{error} (Or a run folder, with best.safetensors.)") from None
        raise
    for note in predictions.notes:
        say(note)
    return predictions.read, predictions.tasks, None


def _remark(card: ModelCard | None, dataset: Dataset, split: str) -> str:
    """What is to be said where these images have chosen the model's weights."""
    chosen = card.measured.get("validation", {}) if card is not None else {}
    if split != "val" or chosen.get("data") != dataset.root.name:
        return ""
    other = "; --split test has not." if "test" in dataset.splits else "."
    return (
        "These images (val) have chosen the model's weights, so expect a little less on new ones"
        + other
    )


def _show(scores: Scores, intervals: Mapping[str, Interval]) -> None:
    from maskwright.cli.console import say, show_table
    from maskwright.report import score_tables

    for table in score_tables(scores.to_dict(), scores.classes):
        say(f"{table.title}:")
        heads = [column.name for column in table.columns]
        show_table(heads, [list(map(_cell, table.columns, row)) for row in table.rows])
        say("")
    _show_top(scores)
    told = []
    for name, value in scores.numbers().items():
        sure = intervals.get(name)
        span = f" [{sure.low:.4f}, {sure.high:.4f}]" if sure else ""
        told.append(f"{name} {_four(value)}{span}")
    say(f"{'  '.join(told)}  over {scores.images} images")
    if intervals:
        say("In brackets: 95 % intervals over the images (bootstrap).")
    if scores.bad:
        say(f"{len(scores.bad)} images were left out:")
        for name, why in scores.bad:
            say(f"  {name}: {why}")


def _show_top(scores: Scores) -> None:
    """The headline with its interval, and what to hold it against."""
    from maskwright.cli.console import say
    from maskwright.jobs import score_figures

    first, *others = score_figures(scores, {})
    known = {name.lower() for name in scores.numbers()}  # they stand in a line of their own
    for figure in (first, *(other for other in others if other.label.lower() not in known)):
        say(f"{figure.label:<17} {figure.value}  {figure.note}")


def _show_gains(found: Path, against: Path, gains: Mapping[str, Interval]) -> None:
    from maskwright.cli.console import say

    say(f"{found.name} minus {against.name}, in points, with the 95 % interval over the images:")
    for name, gain in gains.items():
        sure = "" if gain.low <= 0 <= gain.high else "  (sure)"
        say(f"  {name:<14}{100 * gain.value:+7.2f}  [{100 * gain.low:+.2f}, "
            f"{100 * gain.high:+.2f}]{sure}")  # fmt: skip


def _plain(
    scored: Sequence[Scores],
    sides: Sequence[Path],
    intervals: Mapping[str, Interval],
    gains: Mapping[str, Interval],
) -> dict[str, Any]:
    plain = {"scored": str(sides[0]), **scored[0].to_dict()}
    if intervals:
        plain["intervals"] = {name: value.to_dict() for name, value in intervals.items()}
    if len(scored) > 1:
        plain["against"] = {"scored": str(sides[1]), **scored[1].to_dict()}
        plain["gains"] = {name: value.to_dict() for name, value in gains.items()}
    return plain


def _cell(column: Column, value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return value if isinstance(value, str) else format(value, column.format)


def _four(value: float) -> str:
    return "–" if value != value else f"{value:.4f}"
