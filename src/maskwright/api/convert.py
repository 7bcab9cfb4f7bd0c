"""`maskwright.convert`: a labelled set in another format, losses told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import maskwright.formats as formats
import maskwright.jobs as jobs
from maskwright.core.errors import ConfigError
from maskwright.core.files import refuse_output
from maskwright.core.sample import Dataset
from maskwright.core.telling import Bars, Note, no_bar, no_note
from maskwright.jobs import Conversion


def convert(
    src: Dataset | Path | str,
    dst: Path | str,
    to: str,
    *,
    format: str | None = None,
    ignore: Iterable[str] = (),
    polygons: bool = False,
    masks: bool = False,
    vertices: str | None = None,
    read_vertices: str | None = None,
    read: Mapping[str, object] | None = None,
    boxes: str | None = None,
    background: str = "background",
    link: bool = False,
    workers: int | None = None,
    skip_bad: bool = False,
    note: Note = no_note,
    bar: Bars = no_bar,
) -> Conversion:
    """Convert a labelled set to another format; a call that was ended goes on where it stopped.

        maskwright.convert("cvat_export", "voc_set", to="voc")

    Args:
        src: the labelled set: a folder, an annotation file, or what `maskwright.read` gave.
        dst: new folder for the result.
        to: format to write, one of `maskwright.formats.WRITABLE`.
        format: of `src`; detected unless given.
        ignore: classes to leave out.
        polygons: COCO as pixel-edge polygons.
        masks: LabelMe and CVAT as masks, not polygons.
        vertices: what a corner in written YOLO rows means: "centre" (the default) or "edge".
        read_vertices: the same for YOLO rows that are read.
        read: options of the format of `src`, such as {"images": "photos"} or
            {"crowds": "objects"} of COCO.
        boxes: what becomes of objects without mask in "yolo_seg": "row" (the default), a row of a
            box, "rectangle", a polygon of its corners, or "leave-out".
        background: class of what no object covers, in index masks; "void" leaves it open.
        link: hard links instead of copies of the images.
        workers: processes; the cores unless given, for larger sets.
        skip_bad: go on past faulty samples; they are listed.
        note: told what the reader saw.
        bar: opens a progress bar of this title.

    Returns:
        What was written, skipped and lost.

    Raises:
        DataError: a sample that can't be read or written, without `skip_bad`; `dst` holds
            something else.
        ConfigError: no such format, one that is only read, options that make no sense, options of
            reading beside a set that was read before.
    """
    if isinstance(src, Dataset):
        if format or read_vertices or read or [*ignore]:
            raise ConfigError(
                f"expected format, ignore and options of reading beside a path only, got them with "
                f"the set {src.root}, which was read before; give them to maskwright.read."
            )
        dataset = src
    else:
        refuse_output(Path(dst), "set", [Path(src)], "DST")
        asked = {**(read or {}), **({"vertices": read_vertices} if read_vertices else {})}
        dataset = formats.read(
            src,
            format,
            ignore,
            strict=not skip_bad,
            options=asked or None,
        )
    for told in dataset.notes:
        note(told)
    options: dict[str, object] = {"polygons": True} if polygons else {}
    if masks:
        options["masks"] = True
    if vertices:
        options["vertices"] = vertices
    if boxes:
        options["boxes"] = boxes
    with bar("converting") as progress:
        return jobs.convert(
            dataset,
            dst,
            to,
            options=options,
            background=background,
            link=link,
            workers=workers,
            skip_bad=skip_bad,
            progress=progress,
        )
