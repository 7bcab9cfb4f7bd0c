"""Writing LabelMe's JSON files; `labelme` reads them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from maskwright.core.files import write_text
from maskwright.core.image import encode_png
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.drawings import Drawing, drawings_of, require_plain, window_of
from maskwright.formats.text_files import compact_json
from maskwright.formats.writing import Entry, Target, Written, lost, require_objects

_VERSION = "5.4.1"  # of LabelMe, whose files these are like


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image and the JSON file beside it.

    Raises:
        DataError: objects weren't labelled in it.
    """
    require_objects(f"{split}/{sample.name}", truth)
    image = folders.copy_image(sample, target.folder(split), target.link)
    drawings, losses, remarks = drawings_of(truth, target.options.masks)
    odd = [one.instance.extras for one in drawings]
    losses += lost(
        {
            "the field 'flags' of {} objects, which is no object": sum(
                not isinstance(extras.get("flags", {}), dict) for extras in odd
            ),
            "the field 'description' of {} objects, which is no text": sum(
                not isinstance(extras.get("description", ""), str) for extras in odd
            ),
        }
    )
    height, width = truth.size
    document: dict[str, Any] = {
        "version": _VERSION,
        "flags": truth.extras["flags"] if isinstance(truth.extras.get("flags"), dict) else {},
        "shapes": [
            shape
            for one, group in zip(drawings, _groups(drawings))
            for shape in _shapes(one, target.classes.names, group)
        ],
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    write_text(target.folder(split) / f"{sample.name}.json", compact_json(document))
    return Written(losses=losses, remarks=remarks)


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write labels.txt, the classes in their order, and the folder of every split.

    Raises:
        DataError: a class whose name isn't plain text of one line.
    """
    require_plain(target.classes.names, "labelme")
    for split in entries:
        target.folder(split).mkdir(parents=True, exist_ok=True)
    write_text(target.root / "labels.txt", "".join(f"{name}\n" for name in target.classes.names))


def _groups(drawings: Sequence[Drawing]) -> list[int | None]:
    """The group of each object: its own where no other of its class has it, else a new number."""
    own = [one.instance.extras.get("group_id") for one in drawings]
    stated = [
        group if isinstance(group, int) and not isinstance(group, bool) else None for group in own
    ]
    uses = Counter((one.instance.class_id, group) for one, group in zip(drawings, stated))
    new = max((group for group in stated if group is not None), default=0)
    return [
        group
        if group is not None and uses[one.instance.class_id, group] == 1
        else (max(new, 0) + one.group if one.group else None)
        for one, group in zip(drawings, stated)
    ]


def _shapes(one: Drawing, names: Sequence[str], group: int | None) -> Iterator[dict[str, Any]]:
    label, extras = names[one.instance.class_id], one.instance.extras
    told = {
        "flags": extras["flags"] if isinstance(extras.get("flags"), dict) else {},
        "description": extras["description"] if isinstance(extras.get("description"), str) else "",
    }
    if one.kind == "mask" and one.instance.mask is not None:
        (left, top, right, bottom), pixels = window_of(one.instance.mask)
        points = [[left, top], [right - 1, bottom - 1]]
        yield _shape(label, "mask", points, group) | told | {"mask": _png(pixels)}
    elif one.kind == "box":
        edges = [round(float(edge), 4) for edge in one.instance.box_xyxy]
        yield _shape(label, "rectangle", [edges[:2], edges[2:]], group) | told
    for polygon in one.polygons:
        corners = [[_number(value) for value in pair] for pair in polygon.tolist()]
        yield _shape(label, "polygon", corners, group) | told


def _shape(label: str, kind: str, points: Any, group: int | None = None) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _png(pixels: np.ndarray) -> str:
    return base64.b64encode(encode_png(pixels.view(np.uint8))).decode("ascii")
