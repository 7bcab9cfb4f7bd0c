"""`maskwright evaluate`: a model, or anybody's predictions on files, against a labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskwright.cli.refining import RefineOption, RefineSettings, settings_of

if TYPE_CHECKING:
    from maskwright.jobs import Scores
    from maskwright.metrics import Interval, PairedInterval
    from maskwright.report import Column

_FOUND = "A model (bundle, checkpoint, run folder), or predictions on files: a folder of masks or YOLO rows, a COCO .json."  # noqa: E501


def evaluate(
    found: Annotated[Path, typer.Argument(metavar="MODEL|PREDICTIONS", help=_FOUND)],
    data: Annotated[Path, typer.Argument(help="The labelled set.")],
    split: Annotated[str, typer.Option(help="Which split; val, test or all unless given.")] = "",
    ignore: Annotated[list[str] | None, typer.Option(help="Class to leave out.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="THEIRS=OURS: a class of the answers counts as one of the set, or as void.",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="For objects: coco, voc07, voc10, cityscapes, ultralytics-8.3, ultralytics-8.4."
        ),
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
    import maskwright.api as api
    from maskwright.cli.console import bar, parse_pairs, say

    result = api.evaluate(
        found,
        data,
        split,
        ignore=ignore or (),
        stands_for=parse_pairs(map_ or (), "--map", "ball=background"),
        protocol=protocol,
        ci=ci,
        against=against,
        vertices=vertices,
        skip_bad=skip_bad,
        threads=threads,
        out=out,
        report=report,
        refine=refine,
        settings=settings_of(refine, set_, "--refine"),
        note=say,
        bar=bar,
    )
    _show(result, result.spans)
    if result.remark:
        say(result.remark)
    if against:
        _show_gains(found, against, result.gains)
    if out is not None:
        say(f"scores: {out}")
    if report is not None:
        say(f"report: {report}")


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
        say("In brackets: 95 % intervals over the images.")
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


def _show_gains(found: Path, against: Path, gains: Mapping[str, PairedInterval]) -> None:
    from maskwright.cli.console import say

    say(f"{found.name} minus {against.name}, in points, with the 95 % interval over the images:")
    for name, gain in gains.items():
        say(f"  {name:<14}{100 * gain.value:+7.2f}  [{100 * gain.low:+.2f}, "
            f"{100 * gain.high:+.2f}]  ({gain.verdict})")  # fmt: skip


def _cell(column: Column, value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return value if isinstance(value, str) else format(value, column.format)


def _four(value: float) -> str:
    return "–" if value != value else f"{value:.4f}"
