"""Annotation files <-> samples: one file a format, each with `read` and `write`.

Any format reads to a `core.Dataset` and writes from one, so any converts to any other. `read`
detects the layout and says in `Dataset.notes` what it saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.formats import (
    cityscapes,
    class_folders,
    coco,
    cvat,
    datumaro,
    index_masks,
    label_studio,
    labelme,
    panoptic,
    supervisely,
    via,
    voc,
    yolo,
)
from maskwright.formats.answer_classes import AnswerClasses
from maskwright.formats.coco_write import CocoOptions
from maskwright.formats.drawings import DrawingOptions
from maskwright.formats.folders import what_is_in
from maskwright.formats.format import Format
from maskwright.formats.joined import join, roots_of
from maskwright.formats.predictions import Predictions, find_predictions
from maskwright.formats.recast import recast
from maskwright.formats.yolo_files import YoloOptions

FORMATS: dict[str, Format] = {
    "index_masks": index_masks.FORMAT,
    "coco": coco.FORMAT,
    "yolo_seg": yolo.SEG,
    "yolo_boxes": yolo.BOXES,
    "coco_panoptic": panoptic.FORMAT,
    "voc": voc.FORMAT,
    "cityscapes": cityscapes.FORMAT,
    "labelme": labelme.FORMAT,
    "cvat": cvat.FORMAT,
    "via": via.FORMAT,
    "datumaro": datumaro.FORMAT,
    "supervisely": supervisely.FORMAT,
    "label_studio": label_studio.FORMAT,
    "folders": class_folders.FORMAT,
}
"""Every format, in the order in which a layout is tried."""

WRITABLE = tuple(name for name, known in FORMATS.items() if known.writable)
"""Those that sets can be written in; the others are only read."""


def read(
    path: Path | str | Sequence[Path | str],
    format: str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = True,
    options: object = None,
    tasks: Collection[Task] = (),
) -> Dataset:
    """Read a labelled set, whatever its format.

    Args:
        path: a folder or an annotation file; several of them are read as one set (`joined.join`),
            also where their names stand in one text, separated as in PATH.
        format: key in `FORMATS`; None detects it.
        ignore: names of classes to leave out: void in class maps, objects and labels dropped.
        strict: refuse the set at the first sample whose files are missing or contradict each
            other. Else every sample is kept, and a faulty one raises when it is read; `jobs.check`
            collects those faults.
        options: of the format, such as `YoloOptions(vertices="edge")`, or a mapping of them.
        tasks: what it is read for: where it holds several formats, the one that can hold most of
            these.

    Returns:
        The set; `notes` says which layout was seen and what was decided.

    Raises:
        DataError: no layout matches (the text lists the known ones), or the files are at fault.
        ConfigError: no such format, `ignore` names no class, or options of another format.
    """
    roots = roots_of(path) if isinstance(path, (str, Path)) else tuple(map(Path, path))
    if len(roots) != 1:
        return _read_several(roots, format, ignore, strict, options, tasks)
    (root,) = roots
    if not root.exists():
        raise DataError(f"{root} does not exist; expected a folder of images and annotations.")
    if format is not None:
        return format_of(format).read(root, ignore, strict, options_for(format, options))
    seen = {name: why for name, known in FORMATS.items() if (why := known.detect(root)) is not None}
    if root.is_file() and len(seen) > 1:  # COCO takes any .json file that is nobody else's
        seen.pop("coco", None)
    if not seen:
        layouts = "\n".join(f"  {known.layout}" for known in FORMATS.values())
        raise DataError(
            f"{root} has no layout that is known; found {what_is_in(root)}. "
            f"Expected one of\n{layouts}"
        )
    chosen = max(seen, key=lambda name: len(FORMATS[name].tasks & {*tasks}))
    dataset = FORMATS[chosen].read(root, ignore, strict, options_for(chosen, options))
    notes = [f"{root} is read as {chosen}: {seen.pop(chosen)}."]
    notes += [f"It also holds {why}; read it with format {name!r}." for name, why in seen.items()]
    return replace(dataset, notes=(*notes, *dataset.notes))


def _read_several(
    roots: Sequence[Path],
    format: str | None,
    ignore: Iterable[str],
    strict: bool,
    options: object,
    tasks: Collection[Task],
) -> Dataset:
    if not roots:
        raise ConfigError("expected a labelled set to read, got none.")
    ignored, found, known = frozenset(ignore), [], set()
    for root in roots:
        own = read(root, format, (), strict, options, tasks)
        known |= set(own.classes.names)
        left = ignored & set(own.classes.names)
        found.append(read(root, format, left, strict, options, tasks) if left else own)
    if ignored - known:
        raise ConfigError(
            f"no class {sorted(ignored - known)[0]!r} to ignore; the classes of these sets are "
            f"{', '.join(sorted(known))}."
        )
    return join(found)


def write(
    dataset: Dataset,
    path: Path | str,
    format: str,
    options: object = None,
    link: bool = False,
) -> tuple[str, ...]:
    """Write a labelled set, all of it or nothing; `jobs.convert` does it image by image.

    Args:
        dataset: every sample needs what the format holds.
        path: a new or empty folder.
        format: one of `WRITABLE`.
        options: of the format, such as `CocoOptions(polygons=True)`, or a mapping of them.
        link: hard links instead of copies of images, where the file system can.

    Returns:
        A sentence for each thing that the format can't hold.

    Raises:
        DataError: the folder holds something, or a sample lacks what the format holds.
        ConfigError: no such format, one that is only read, or options of another format.
    """
    chosen = options_for(format, options)
    require_writable(format)
    return format_of(format).write(dataset, path, chosen, link)


def format_of(name: str) -> Format:
    """The format of a name.

    Raises:
        ConfigError: there is none; the text tells what there is.
    """
    if name in FORMATS:
        return FORMATS[name]
    raise ConfigError(f"no format {name!r}; the formats are {', '.join(FORMATS)}.")


def require_writable(name: str) -> None:
    """Refuse a format that is only read.

    Raises:
        ConfigError: it is, or there is no such format; the text tells which can be written.
    """
    if not format_of(name).writable:
        raise ConfigError(
            f"{format_of(name).title} can be read, but not written (format {name!r}); choose one "
            f"of {', '.join(WRITABLE)}."
        )


def options_for(format: str, options: object) -> Any:
    """The options of a format, from a mapping, from themselves, or (None) the defaults.

    Raises:
        ConfigError: no such format; an option that it lacks (the text tells whose it is, or the
            nearest name), a value of another type, or options of another format.
    """
    chosen = format_of(format)
    given: Mapping[str, Any] = options if isinstance(options, Mapping) else {}
    for key in given:
        having = [name for name, known in FORMATS.items() if key in known.option_names]
        if having and format not in having:
            raise ConfigError(
                f"{key} is an option of {', '.join(having)}, got {key}={given[key]!r} for the "
                f"format {format!r}; leave it out."
            )
    return chosen.checked(options)


def read_predictions(
    path: Path | str,
    dataset: Dataset,
    samples: Sequence[Sample],
    options: object = None,
    stands_for: Mapping[str, str] | None = None,
) -> Predictions:
    """Find what anybody's model predicted for some samples of a labelled set.

    Args:
        path: a folder, or one .json file; `predictions` lists the layouts.
        dataset: the labelled set.
        samples: those that are to be scored.
        options: of YOLO rows, `YoloOptions` or a mapping of them.
        stands_for: name of a class in the predictions -> that of the labelled set which it counts
            as, or "void"; others that the set lacks are void, and told.

    Raises:
        DataError: nothing is there that could be read; files that belong to no sample; ids that
            the labelled set lacks; two files for one image.
        ConfigError: options that YOLO rows don't have; no class in common.
    """
    chosen = options_for("yolo_seg", options)
    return find_predictions(path, dataset, samples, chosen, read, stands_for)


__all__ = [
    "FORMATS",
    "WRITABLE",
    "AnswerClasses",
    "CocoOptions",
    "DrawingOptions",
    "Format",
    "Predictions",
    "YoloOptions",
    "format_of",
    "join",
    "options_for",
    "read",
    "read_predictions",
    "recast",
    "require_writable",
    "roots_of",
    "write",
]
