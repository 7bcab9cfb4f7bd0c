"""A sheet of labelled images, to see in one glance whether the labels are right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core import draw
from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.image import write_image
from maskwright.core.sample import Dataset
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.inspect import all_samples

COMMENT = "maskwright data preview"
"""Kept in the picture: by it an earlier one is known, and nothing else is replaced."""

_TILE_WIDTH = 320  # pixels
_SHEET_ASPECT = 1.4  # width over height


def contact_sheet(
    dataset: Dataset,
    path: Path | str,
    count: int = 12,
    seed: int = 0,
    splits: Sequence[str] = (),
) -> tuple[str, ...]:
    """Draw some samples with their labels over them on one sheet.

    Args:
        dataset: where they come from.
        path: .png or .jpg to write.
        count: how many samples; all, where there are fewer.
        seed: which; the same seed draws the same samples.
        splits: only of these; every one unless given.

    Returns:
        split/name of each, in the order of the sheet.

    Raises:
        DataError: no such split, nothing in it, or a sample that can't be read.
    """
    unknown = [split for split in splits if split not in dataset.splits]
    pool = [pair for pair in all_samples(dataset) if not splits or pair[0] in splits]
    if unknown or not pool or count < 1:
        raise DataError(
            f"expected at least one sample to draw, got count {count} and splits "
            f"{', '.join(splits) or 'all'}; {dataset.root} has "
            f"{', '.join(f'{split} ({len(own)})' for split, own in dataset.splits.items())}."
        )
    chosen = sorted(random.Random(seed).sample(range(len(pool)), min(count, len(pool))))
    titles = [f"{pool[index][0]}/{pool[index][1].name}" for index in chosen]
    pictures, captions, shown = [], [], set()
    for index, title in zip(chosen, titles):
        image, truth = pool[index][1].read_picture(), pool[index][1].read_truth()
        pictures.append(draw.overlay(image, truth))
        labels = ", ".join(truth.classes.names[label.class_id] for label in truth.labels or ())
        captions.append(f"{title}: {labels}" if labels else title)
        shown |= _classes_in(truth)
    aspect = float(np.median([picture.shape[0] / picture.shape[1] for picture in pictures]))
    tile = (max(1, round(_TILE_WIDTH * aspect)), _TILE_WIDTH)
    columns = max(1, round((len(pictures) * aspect * _SHEET_ASPECT) ** 0.5))
    sheet = draw.contact_sheet(pictures, captions, columns, tile)
    write_image(path, _with_legend(sheet, dataset.classes, shown), comment=COMMENT)
    return tuple(titles)


def _classes_in(truth: Segmentation) -> set[int]:
    found = {instance.class_id for instance in truth.instances or ()}
    found |= {label.class_id for label in truth.labels or ()}
    if truth.semantic is not None:
        counts = np.bincount(truth.semantic.ravel(), minlength=len(truth.classes))
        found |= set(np.flatnonzero(counts[: len(truth.classes)]).tolist())
    return found


def _with_legend(sheet: np.ndarray, classes: Classes, shown: set[int]) -> np.ndarray:
    """The sheet, and below it the names of the classes in it, as wide as they fit."""
    if not shown:
        return sheet
    ids = sorted(shown)
    own = Classes.of([classes.names[i] for i in ids], [classes.colours[i] for i in ids])
    legends = (draw.legend(own, rows) for rows in range(1, len(ids) + 1))
    below = next(
        (drawn for drawn in legends if drawn.shape[1] <= sheet.shape[1]),
        draw.legend(own, len(ids)),
    )
    width = max(sheet.shape[1], below.shape[1])
    canvas = np.empty((sheet.shape[0] + below.shape[0], width, 3), np.uint8)
    canvas[:] = sheet[0, 0]  # the paper between the pictures
    canvas[: sheet.shape[0], : sheet.shape[1]] = sheet
    canvas[sheet.shape[0] :, : below.shape[1]] = below
    return canvas
