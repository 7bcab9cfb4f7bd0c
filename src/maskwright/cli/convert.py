"""`maskwright convert`: a labelled set in another format, losses told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.reading import Read, read_options

SHOWN = 20
"""Skipped samples that are listed on screen; all are in the summary file."""


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The labelled set.")],
    out: Annotated[Path, typer.Argument(metavar="DST", help="New folder for the result.")],
    to: Annotated[
        str,
        typer.Option(
            help="Format to write: index_masks, coco, yolo_seg, yolo_boxes, coco_panoptic, voc, "
            "cityscapes, labelme, cvat or folders; see docs/reference/formats.md."
        ),
    ],
    format: Annotated[str | None, typer.Option(help="Of SRC; detected unless given.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Class to leave out.")] = None,
    polygons: Annotated[bool, typer.Option("--polygons", help="COCO as pixel-edge polygons.")] = (
        False
    ),
    masks: Annotated[
        bool, typer.Option("--masks", help="LabelMe and CVAT as masks, not polygons.")
    ] = False,
    vertices: Annotated[
        str | None,
        typer.Option(
            help="What a corner in written YOLO rows means: centre (the default) or edge."
        ),
    ] = None,
    read_vertices: Annotated[
        str | None, typer.Option(help="The same for YOLO rows that are read.")
    ] = None,
    read: Read = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="Objects without mask in yolo_seg: row (the default), rectangle or leave-out."
        ),
    ] = None,
    background: Annotated[
        str,
        typer.Option(help="Class of what no object covers, in index masks; void leaves it open."),
    ] = "background",
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; the cores unless given.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on past faulty samples; listed, exit code 0.")
    ] = False,
) -> None:
    """Convert a labelled set to another format.

    Goes on where it was ended; tells what the format can't hold, per image in losses.csv.
    """
    import maskwright.api as api
    from maskwright.cli.console import bar, say

    done = api.convert(
        source,
        out,
        to,
        format=format,
        ignore=ignore or (),
        polygons=polygons,
        masks=masks,
        vertices=vertices,
        read_vertices=read_vertices,
        read=read_options(read),
        boxes=boxes,
        background=background,
        link=link,
        workers=workers,
        skip_bad=skip_bad,
        note=say,
        bar=bar,
    )
    for name, why in done.skipped[:SHOWN]:
        say(f"skipped {name}: {why}")
    if len(done.skipped) > SHOWN:
        say(f"... and {len(done.skipped) - SHOWN} more: see {out / 'conversion.json'}")
    for sentence in done.losses:
        say(f"lost: {sentence}")
    for sentence in done.remarks:
        say(f"note: {sentence}")
    splits = ", ".join(f"{name} {count}" for name, count in done.images.items())
    before = "" if done.made else ", finished before"
    say(f"{done.format} in {done.out}: {splits}; {len(done.skipped)} skipped{before}")
    if done.losses or done.remarks:
        say(f"what each image lost: {out / 'losses.csv'}")
