"""The labels of Cityscapes: ids in the files, training ids, groups, colours; or a set's own.

Source of the table: M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene
Understanding", CVPR 2016, and the label definitions published with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.core.files import write_json
from maskwright.formats.folders import read_json

NOT_TRAINED = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A row of the table.

    Attributes:
        name: as in the polygons' files.
        id: in labelIds.png; 0 and -1 and whatever has no row is void.
        train_id: rank among the classes that are learned and scored; 255 for the others.
        category: the coarser class.
        has_instances: whether its objects are told apart.
        colour: RGB.
    """

    name: str
    id: int
    train_id: int
    category: str
    has_instances: bool
    colour: Colour


def _published() -> Iterator[Label]:
    rows = """
        unlabeled             0 255 void         0   0   0   0
        ego vehicle           1 255 void         0   0   0   0
        rectification border  2 255 void         0   0   0   0
        out of roi            3 255 void         0   0   0   0
        static                4 255 void         0   0   0   0
        dynamic               5 255 void         0 111  74   0
        ground                6 255 void         0  81   0  81
        road                  7   0 flat         0 128  64 128
        sidewalk              8   1 flat         0 244  35 232
        parking               9 255 flat         0 250 170 160
        rail track           10 255 flat         0 230 150 140
        building             11   2 construction 0  70  70  70
        wall                 12   3 construction 0 102 102 156
        fence                13   4 construction 0 190 153 153
        guard rail           14 255 construction 0 180 165 180
        bridge               15 255 construction 0 150 100 100
        tunnel               16 255 construction 0 150 120  90
        pole                 17   5 object       0 153 153 153
        polegroup            18 255 object       0 153 153 153
        traffic light        19   6 object       0 250 170  30
        traffic sign         20   7 object       0 220 220   0
        vegetation           21   8 nature       0 107 142  35
        terrain              22   9 nature       0 152 251 152
        sky                  23  10 sky          0  70 130 180
        person               24  11 human        1 220  20  60
        rider                25  12 human        1 255   0   0
        car                  26  13 vehicle      1   0   0 142
        truck                27  14 vehicle      1   0   0  70
        bus                  28  15 vehicle      1   0  60 100
        caravan              29 255 vehicle      1   0   0  90
        trailer              30 255 vehicle      1   0   0 110
        train                31  16 vehicle      1   0  80 100
        motorcycle           32  17 vehicle      1   0   0 230
        bicycle              33  18 vehicle      1 119  11  32
        license plate        -1 255 vehicle      0   0   0 142
    """
    for row in rows.strip().splitlines():
        *name, number, train_id, category, has_instances, red, green, blue = row.split()
        yield Label(
            name=" ".join(name),
            id=int(number),
            train_id=int(train_id),
            category=category,
            has_instances=has_instances == "1",
            colour=(int(red), int(green), int(blue)),
        )


LABELS = tuple(_published())
"""The published table; 19 labels are trained."""


def classes_of(labels: tuple[Label, ...]) -> Classes:
    """The classes of training, in the order of their training ids."""
    trained = trained_labels(labels)
    return Classes.of(
        (label.name for label in trained),
        [label.colour for label in trained],
        (rank for rank, label in enumerate(trained) if label.has_instances),
    )


def trained_labels(labels: tuple[Label, ...]) -> list[Label]:
    """Those that are trained, in the order of their training ids."""
    return sorted((one for one in labels if one.train_id != NOT_TRAINED), key=lambda x: x.train_id)


def labels_of(classes: Classes) -> tuple[Label, ...]:
    """The table for some classes: published ids where all names are published, else 1, 2, ...

    Training ids are class ids.

    Raises:
        DataError: more than 254 classes.
    """
    if classes.names == classes_of(LABELS).names and classes.things == classes_of(LABELS).things:
        return LABELS
    if len(classes) > 254:
        raise DataError(f"cityscapes holds 254 classes, got {len(classes)}; use coco_panoptic.")
    published = {label.name: label.id for label in LABELS if label.id > 0}
    known = all(name in published for name in classes.names)
    return tuple(
        Label(
            name=name,
            id=published[name] if known else class_id + 1,
            train_id=class_id,
            category="own",
            has_instances=class_id in classes.things,
            colour=classes.colours[class_id],
        )
        for class_id, name in enumerate(classes.names)
    )


def read_labels(path: Path) -> tuple[Label, ...]:
    """A set's own table, labels.json.

    Raises:
        DataError: no JSON, or rows that are no labels.
    """
    rows = read_json(path)
    try:
        labels = tuple(_label(row) for row in rows)
        classes_of(labels)
        ids = [label.id for label in labels]
        if len(set(ids)) < len(ids) or not labels:
            raise ValueError(f"ids {ids} must differ")
    except (KeyError, TypeError, ValueError, OverflowError, MaskwrightError) as error:
        raise DataError(
            f'{path}: expected a list of objects with "name", "id" 1..254, "trainId" and '
            f'"hasInstances", got {str(rows)[:80]} ({error}); mend it.'
        ) from None
    return labels


def write_labels(path: Path, labels: tuple[Label, ...]) -> None:
    """Write labels.json."""
    write_json(
        path,
        [
            {
                "name": label.name,
                "id": label.id,
                "trainId": label.train_id,
                "category": label.category,
                "hasInstances": label.has_instances,
                "color": list(label.colour),
            }
            for label in labels
        ],
    )


def _label(row: dict[str, Any]) -> Label:
    if not isinstance(row, dict):
        raise ValueError(f"a row is {str(row)[:40]}")
    red, green, blue = row.get("color", (0, 0, 0))
    number, train_id = int(row["id"]), int(row["trainId"])
    if not -1 <= number < 255 or not 0 <= train_id <= 255:
        raise ValueError(f"id {number} or trainId {train_id} is out of range")
    return Label(
        name=str(row["name"]),
        id=number,
        train_id=train_id,
        category=str(row.get("category", "own")),
        has_instances=bool(row["hasInstances"]),
        colour=(int(red), int(green), int(blue)),
    )
