"""`maskwright data`: look at a labelled set before training on it, and divide it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.console import bar, say, show_table
from maskwright.cli.reading import Read, read_options
from maskwright.core.errors import DataError
from maskwright.core.files import refuse_output

data = typer.Typer(no_args_is_help=True, help="Look at a labelled set, divide it.")

Folder = Annotated[Path, typer.Argument(help="The labelled set: a folder or a COCO file.")]
Format = Annotated[str | None, typer.Option(help="Its format; detected unless given.")]
Ignore = Annotated[list[str] | None, typer.Option(help="Class to leave out (repeatable).")]


@data.command()
def stats(
    path: Folder,
    format: Format = None,
    ignore: Ignore = None,
    read: Read = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell class shares, object sizes, thinness."""
    import maskwright.formats as formats
    import maskwright.jobs as jobs

    dataset = formats.read(path, format, ignore or (), options=read_options(read))
    with bar("reading masks") as progress:
        found = jobs.stats(dataset, progress)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    for note in dataset.notes:
        say(note)
    splits = ", ".join(f"{name} {count}" for name, count in found.images.items())
    sizes = ", ".join(f"{count} of {h}x{w}" for (h, w), count in found.sizes[:4])
    void = _told(found.void_share, ".1%")
    say(f"images: {splits}; sizes (height x width): {sizes}; void pixels: {void}")
    labelled = any(one.labels for one in found.classes)
    show_table(
        ("class", "pixels", "images", *(["labels"] if labelled else []), "objects", "median area",
         "small", "thin"),
        [
            (one.name, _told(one.pixel_share, ".2%"), one.images,
             *([one.labels] if labelled else []), one.objects,
             _told(one.area_quantiles[1], ".0f"), _told(one.small_share, ".0%"),
             _told(one.thin_share, ".0%"))
            for one in found.classes
        ],
    )  # fmt: skip


def _told(value: float, how: str) -> str:
    """A number as text; a dash where there is nothing to tell of."""
    return "–" if math.isnan(value) else format(value, how)


@data.command()
def check(path: Folder, format: Format = None, ignore: Ignore = None, read: Read = None) -> None:
    """Find what is wrong with a set.

    Missing masks, ids out of range, wrong sizes, damaged files, near-duplicates across splits.
    """
    import maskwright.formats as formats
    import maskwright.jobs as jobs

    dataset = formats.read(path, format, ignore or (), False, read_options(read))
    with bar("checking") as progress:
        findings = jobs.check(dataset, progress)
    for note in dataset.notes:
        say(note)
    for finding in findings:
        say(f"{finding.severity}: {finding.file}: {finding.message}")
    errors = sum(finding.severity == "error" for finding in findings)
    if errors:
        raise DataError(f"{path} has {errors} errors and {len(findings) - errors} remarks.")
    say(f"no errors, {len(findings)} remarks.")


@data.command()
def preview(
    path: Folder,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(help="How many samples.")] = 12,
    seed: Annotated[int, typer.Option(help="Which samples.")] = 0,
    format: Format = None,
    ignore: Ignore = None,
    read: Read = None,
) -> None:
    """Draw samples with their labels on one sheet."""
    import maskwright.formats as formats
    import maskwright.jobs as jobs

    refuse_output(out, "picture", [path])
    dataset = formats.read(path, format, ignore or (), options=read_options(read))
    names = jobs.contact_sheet(dataset, out, count, seed)
    say(f"{len(names)} samples are shown in {out}")


@data.command()
def split(
    path: Folder,
    out: Annotated[Path, typer.Argument(metavar="DST", help="New folder for the result.")],
    by: Annotated[
        str,
        typer.Option(
            help="What stays together: folder, duplicates, a .csv of NAME,GROUP, or a regular "
            "expression found in the names."
        ),
    ],
    ratios: Annotated[str, typer.Option(help="TRAIN/VAL/TEST or TRAIN/VAL.")] = "70/15/15",
    seed: Annotated[int, typer.Option(help="Of the order of groups.")] = 0,
    lists: Annotated[bool, typer.Option("--lists", help="Lists of images, not a set.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on past faulty samples.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; the cores unless given.")] = None,
    format: Format = None,
    ignore: Ignore = None,
    read: Read = None,
) -> None:
    """Divide a set anew, keeping groups together.

    Groups are videos, parts or places: near-duplicates across splits make scores look too good.
    """
    import maskwright.formats as formats
    import maskwright.jobs as jobs

    refuse_output(out, "set", [path, by if by.lower().endswith(".csv") else None], "DST")
    dataset = formats.read(path, format, ignore or (), not skip_bad, read_options(read))
    for note in dataset.notes:
        say(note)
    with bar("splitting") as progress:
        done = jobs.split_set(
            dataset, out, by, ratios, seed, lists=lists, link=link, workers=workers,
            skip_bad=skip_bad, progress=progress,
        )  # fmt: skip
    if done.conversion is not None:
        for name, why in done.conversion.skipped:
            say(f"skipped {name}: {why}")
        for sentence in done.conversion.losses:
            say(f"lost: {sentence}")
    total = sum(done.images.values())
    show_table(
        ("split", "images", "share", "groups"),
        [(name, n, f"{n / total:.1%}", done.groups[name]) for name, n in done.images.items()],
    )
    say(f"{sum(done.groups.values())} groups, the largest of {done.largest} images: {done.out}")
