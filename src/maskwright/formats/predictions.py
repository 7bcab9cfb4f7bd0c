"""What anybody's model found, on files without images -> `Segmentation`s for a labelled set.

    masks/NAME.png and instances.json        what `maskwright predict` writes, both or either
    NAME.png                                 class ids, as classes.json beside them names them
    results.json                             COCO results: a list of scored boxes or masks
    results.json and results/NAME.png        COCO panoptic results
    instances.json                           COCO annotations with scores
    NAME.txt (or labels/NAME.txt)            YOLO rows, the confidence last
    a labelled set of any format             with its own images

Files belong to images by their names without suffix, COCO results by their image ids. Classes are
matched by their names where the files tell them, else by the ids of the labelled set's own files:
see `answer_classes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.image import read_index_png
from maskwright.core.parts import Panoptic
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.formats import coco_results, folders, panoptic_results, yolo_files
from maskwright.formats.answer_classes import AnswerClasses
from maskwright.formats.class_ids import IdTable, read_classes
from maskwright.formats.recast import recast
from maskwright.formats.yolo_files import YoloOptions
from maskwright.formats.yolo_polygons import read_instances
from maskwright.formats.yolo_rows import read_rows

Reader = Callable[[Sample, tuple[int, int]], Segmentation]
"""(sample, its (height, width)) -> what was found in it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a model found in the images of a labelled set, read late.

    Attributes:
        source: the folder or file.
        tasks: what is predicted.
        classes: of the labelled set, which every id refers to.
        readers: sample name -> reads what was found there.
        missing: samples for which nothing is there; they count as images where nothing was found.
        notes: what was decided or guessed, to be shown to the user.
    """

    source: Path
    tasks: frozenset[Task]
    classes: Classes
    readers: Mapping[str, Reader]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def read(self, sample: Sample, size: tuple[int, int]) -> Segmentation:
        """What was found in a sample of (height, width) `size`.

        Raises:
            DataError: a file is damaged, or of another size.
        """
        if sample.name in self.readers:
            return self.readers[sample.name](sample, size)
        return _nothing(self.tasks, size, self.classes)


def find_predictions(
    path: Path | str,
    dataset: Dataset,
    samples: Sequence[Sample],
    options: YoloOptions,
    read_set: Callable[[Path], Dataset],
    stands_for: Mapping[str, str] | None = None,
) -> Predictions:
    """Find the predictions for some samples of a labelled set.

    Args:
        path: a folder, or one .json file.
        dataset: the labelled set.
        samples: those that are to be scored.
        options: of YOLO rows.
        read_set: reads a labelled set of any format, `formats.read`.
        stands_for: name of a class in the predictions -> that of the labelled set, or "void".

    Raises:
        DataError: nothing is there that could be read; files that belong to no sample; ids that
            the labelled set lacks; two files for one image.
        ConfigError: no class in common, or `stands_for` names one that the labelled set lacks.
    """
    source = Path(path)
    if not source.exists():
        raise DataError(f"{source} does not exist; expected predictions, a file or a folder.")
    meant = AnswerClasses.of(dataset, stands_for)
    parts = _parts(source, dataset, meant, samples, options)
    if not parts and source.is_dir() and any(source.iterdir()):
        parts = [_set(source, read_set(source), meant, samples)]
    if not parts:
        raise DataError(
            f"{source} holds no predictions: expected masks as NAME.png, a COCO .json file, or "
            f"YOLO rows in NAME.txt; found {folders.what_is_in(source)}."
        )
    found = parts[0]
    for part in parts[1:]:
        found = _joined(found, part)
    missing = tuple(sample.name for sample in samples if sample.name not in found.readers)
    if len(missing) == len(samples):
        raise DataError(
            f"{source} has predictions for none of the {len(samples)} images (such as "
            f"{folders.shortlist([s.name for s in samples], 2)}); they must have the images' names."
        )
    notes = found.notes
    if missing:
        notes += (
            f"{len(missing)} of {len(samples)} images have no prediction and count as images where "
            f"nothing was found: {folders.shortlist(missing)}.",
        )
    return replace(found, missing=missing, notes=notes)


def _parts(
    source: Path,
    dataset: Dataset,
    meant: AnswerClasses,
    samples: Sequence[Sample],
    options: YoloOptions,
) -> list[Predictions]:
    if source.is_file():
        return [_coco(source, dataset, meant, samples)]
    parts = []
    masks = source / "masks" if (source / "masks").is_dir() else source
    if _is_layout(source):
        return []
    if files := _files(masks, ".png", skip=("overlays",)):
        parts.append(_masks(source, masks, files, meant, samples))
    instances = [name for name in coco_results.FILE_NAMES if (source / name).is_file()]
    if instances:
        parts.append(_coco(source / instances[0], dataset, meant, samples))
    labels = source / "labels" if (source / "labels").is_dir() else source
    if not parts and (files := _files(labels, ".txt", skip=("classes",))):
        keypoints = _keypoints(dataset)
        parts.append(_yolo(source, files, meant, samples, options, keypoints))
    return parts


def _is_layout(source: Path) -> bool:
    """Whether its pictures belong to a set whose folders have names: they are no loose masks."""
    names = ("JPEGImages", "gtFine", "annotations")
    return any((source / name).is_dir() for name in names)


def _files(folder: Path, suffix: str, skip: tuple[str, ...]) -> dict[str, Path]:
    """Relative path without suffix -> file."""
    found = {}
    for path in sorted(folder.rglob(f"*{suffix}")):
        relative = path.relative_to(folder).with_suffix("")
        if path.is_file() and relative.parts[0] not in skip:
            found[relative.as_posix()] = path
    return found


# --- masks --------------------------------------------------------------------------------------


def _masks(
    source: Path,
    folder: Path,
    files: Mapping[str, Path],
    meant: AnswerClasses,
    samples: Sequence[Sample],
) -> Predictions:
    named = next(
        (place / "classes.json" for place in (folder, source) if (place / "classes.json").exists()),
        None,
    )
    if named is None:
        table = meant.table()
        notes: tuple[str, ...] = (
            f"{folder} has no classes.json: its ids are taken as {meant.told_ids()}, as in the "
            "labelled set's own files.",
        )
    else:
        table, notes = _by_names(named, meant)
    readers = {
        sample: partial(_read_mask, files[name], table)
        for sample, name in match_names(folder, files, samples).items()
    }
    return Predictions(
        source=source,
        tasks=frozenset({"semantic"}),
        classes=meant.classes,
        readers=readers,
        notes=notes,
    )


def _by_names(source: Path, meant: AnswerClasses) -> tuple[IdTable, tuple[str, ...]]:
    theirs, ignored = read_classes(source)
    ids, notes = meant.ids_of(theirs.names, source)
    table = np.array(ids, np.int32)
    if ignored is not None and 0 <= ignored < len(table):
        table[ignored] = meant.classes.void
    return IdTable(classes=meant.classes, table=table), notes


def _read_mask(file: Path, table: IdTable, sample: Sample, size: tuple[int, int]) -> Segmentation:
    ids = table.apply(read_index_png(file), file)
    folders.check_size(str(file), ids.shape, np.empty((*size, 0)))
    return Segmentation(size=size, classes=table.classes, semantic=ids)


# --- objects ------------------------------------------------------------------------------------


def _coco(
    file: Path, dataset: Dataset, meant: AnswerClasses, samples: Sequence[Sample]
) -> Predictions:
    content = folders.read_json(file)
    if panoptic_results.is_panoptic(content):
        return _panoptic(file, content, dataset, meant, samples)
    found = coco_results.read(file, content, dataset, meant)
    matched = match_names(file, found.entries, samples, optional=found.covers_set)
    readers = {
        sample: partial(coco_results.read_image, found.entries[name], found, file)
        for sample, name in matched.items()
    }
    if found.covers_set:  # results name only the images where something was found
        readers = {
            sample.name: readers.get(sample.name, partial(coco_results.read_image, (), found, file))
            for sample in samples
        }
    tasks: frozenset[Task] = frozenset({"instances", "boxes"} if found.masks else {"boxes"})
    return Predictions(
        source=file, tasks=tasks, classes=meant.classes, readers=readers, notes=found.notes
    )


def _panoptic(
    file: Path,
    content: Mapping[str, Any],
    dataset: Dataset,
    meant: AnswerClasses,
    samples: Sequence[Sample],
) -> Predictions:
    found, notes = panoptic_results.read(file, content, dataset, meant)
    return Predictions(
        source=file,
        tasks=frozenset({"panoptic", "semantic"}),
        classes=meant.classes,
        readers={sample: found[name] for sample, name in match_names(file, found, samples).items()},
        notes=notes,
    )


def _set(
    source: Path, found: Dataset, meant: AnswerClasses, samples: Sequence[Sample]
) -> Predictions:
    ids, notes = meant.ids_of(found.classes.names, source)
    theirs = {sample.name: sample for split in found.splits.values() for sample in split}
    matched = match_names(source, theirs, samples, optional=True)
    tasks = frozenset(task for name in matched.values() for task in theirs[name].tasks)

    def reader(_: Sample, __: tuple[int, int], *, name: str) -> Segmentation:
        return recast(theirs[name].read_truth(), ids, meant.classes)

    return Predictions(
        source=source,
        tasks=tasks,
        classes=meant.classes,
        readers={sample: partial(reader, name=name) for sample, name in matched.items()},
        notes=found.notes + notes,
    )


def _keypoints(dataset: Dataset) -> tuple[int, int] | None:
    """The key points of a set's rows, which those of answers to it hold, too."""
    told = yolo_files.describe(dataset.root) if dataset.format.startswith("yolo") else None
    return yolo_files.keypoints_of(told) if told else None


def _yolo(
    source: Path,
    files: Mapping[str, Path],
    meant: AnswerClasses,
    samples: Sequence[Sample],
    options: YoloOptions,
    keypoints: tuple[int, int] | None,
) -> Predictions:
    vertices, classes = options.vertices or "centre", meant.classes
    ids = meant.by_id.keys()
    rows = {name: read_rows(file, ids, keypoints) for name, file in files.items()}
    polygons = any(row.is_polygon for found in rows.values() for row in found)
    unscored = sum(row.score is None for found in rows.values() for row in found)

    def reader(sample: Sample, size: tuple[int, int], *, name: str) -> Segmentation:
        kept = [row for row in rows[name] if meant.by_id[row.class_id] != classes.void]
        class_ids = [meant.by_id[row.class_id] for row in kept]
        instances = tuple(
            replace(found, score=1.0 if found.score is None else found.score)
            for found in read_instances(kept, class_ids, size, vertices)
        )
        return Segmentation(size=size, classes=classes, instances=instances)

    matched = match_names(source, files, samples)
    readers: dict[str, Reader] = {
        sample: partial(reader, name=name) for sample, name in matched.items()
    }
    for sample in samples:  # YOLO tools write no file where nothing was found
        readers.setdefault(
            sample.name, lambda _, size: Segmentation(size=size, classes=classes, instances=())
        )
    notes: tuple[str, ...] = (
        f"{source}: class ids are taken as {meant.told_ids()}"
        + (f", corners of polygons as {vertices}s of pixels." if polygons else "."),
    )
    if unscored:
        notes += (f"{source}: {unscored} rows have no confidence and count as certain (1).",)
    tasks: frozenset[Task] = frozenset({"instances", "boxes"} if polygons else {"boxes"})
    return Predictions(source=source, tasks=tasks, classes=classes, readers=readers, notes=notes)


# --- together -----------------------------------------------------------------------------------


def match_names(
    source: Path, names: Mapping[str, object], samples: Sequence[Sample], optional: bool = False
) -> dict[str, str]:
    """Sample name -> the name among `names` that means it, with its folders or without.

    Args:
        source: where the names stand, for messages.
        names: of the predictions.
        samples: of the labelled set.
        optional: whether names may belong to no sample (to those of another split).

    Raises:
        DataError: a name that means no sample, or two; two names for one sample.
    """
    whole = {sample.name for sample in samples}
    last: dict[str, list[str]] = {}
    for sample in samples:
        last.setdefault(PurePosixPath(sample.name).name, []).append(sample.name)
    found: dict[str, str] = {}
    strangers = []
    for name in names:
        stem = PurePosixPath(name).name
        wanted = [name] if name in whole else last.get(stem, [])
        if len(wanted) > 1:
            raise DataError(
                f"{source}: {name} could mean {' or '.join(wanted)}; keep the images' folders in "
                "the predictions' names."
            )
        if not wanted:
            strangers.append(name)
        elif found.setdefault(wanted[0], name) != name:
            raise DataError(
                f"{source}: {found[wanted[0]]} and {name} both claim the image {wanted[0]}; "
                "remove one."
            )
    if strangers and not optional:
        raise DataError(
            f"{source} has predictions for {len(strangers)} images that the labelled split lacks: "
            f"{folders.shortlist(strangers)}. Choose another split, or remove them."
        )
    return found


def _joined(first: Predictions, second: Predictions) -> Predictions:
    """Class maps and objects of the same images."""

    def reader(sample: Sample, size: tuple[int, int]) -> Segmentation:
        one, other = first.read(sample, size), second.read(sample, size)
        return replace(one, instances=other.instances)

    names = [*first.readers, *(name for name in second.readers if name not in first.readers)]
    return Predictions(
        source=first.source,
        tasks=first.tasks | second.tasks,
        classes=first.classes,
        readers=dict.fromkeys(names, reader),
        notes=first.notes + second.notes,
    )


def _nothing(tasks: frozenset[Task], size: tuple[int, int], classes: Classes) -> Segmentation:
    dtype = np.uint8 if classes.void == 255 else np.uint16
    return Segmentation(
        size=size,
        classes=classes,
        semantic=np.full(size, classes.void, dtype) if "semantic" in tasks else None,
        instances=() if tasks & {"instances", "boxes"} else None,
        panoptic=Panoptic(segment_ids=np.zeros(size, np.int32), class_of={})
        if "panoptic" in tasks
        else None,
    )
