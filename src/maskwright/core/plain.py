"""The parts of a segmentation as plain data that JSON can hold, and back, without a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.mask import Mask
from maskwright.core.parts import Instance, Label, Panoptic

Plain = dict[str, Any]


def plain_parts(
    semantic: np.ndarray | None,
    void: int,
    instances: Sequence[Instance] | None,
    panoptic: Panoptic | None,
    labels: tuple[Label, ...] | None,
) -> Plain:
    """The parts as `Segmentation.to_dict` describes them; void is what no mask covers."""
    return {
        "semantic": None if semantic is None else _plain_map(semantic, void),
        "instances": None if instances is None else [_plain_instance(one) for one in instances],
        "panoptic": None if panoptic is None else _plain_panoptic(panoptic),
        "labels": None
        if labels is None
        else [{"class_id": int(one.class_id), "score": _number(one.score)} for one in labels],
    }


def parts_of_plain(data: Mapping[str, Any], size: tuple[int, int], void: int) -> Plain:
    """Inverse of `plain_parts`: the fields of a `Segmentation`.

    Args:
        data: with the parts; one that isn't there is None.
        size: (height, width).
        void: of the class map.

    Raises:
        DataError: a mask of another size, or damaged.
        LookupError, TypeError, ValueError: something else is missing or of another type.
    """
    semantic, instances = data.get("semantic"), data.get("instances")
    panoptic, labels = data.get("panoptic"), data.get("labels")
    return {
        "semantic": None if semantic is None else _map_of(semantic, size, void),
        "instances": None if instances is None else tuple(map(_instance_of, instances)),
        "panoptic": None if panoptic is None else _panoptic_of(panoptic, size),
        "labels": None
        if labels is None
        else tuple(
            Label(class_id=int(one["class_id"]), score=_number(one.get("score"))) for one in labels
        ),
    }


def plain_objects(instances: Sequence[Instance], names: tuple[str, ...]) -> list[Plain]:
    """Objects for people: class by name, score, box xyxy, mask as COCO's run lengths.

    What an object has no value for is left out; a track's id stands under "track".
    """
    found: list[Plain] = []
    for one in instances:
        plain: Plain = {"class": names[one.class_id], "box": list(map(float, one.box_xyxy))}
        if one.score is not None:
            plain["score"] = float(one.score)
        if one.track_id is not None:
            plain["track"] = int(one.track_id)
        if one.mask is not None:
            plain["mask"] = one.mask.to_coco()
        found.append(plain)
    return found


def _plain_map(ids: np.ndarray, void: int) -> list[Plain]:
    return [
        {"id": value, "mask": Mask.encode(ids == value).to_coco()}
        for value in np.unique(ids).tolist()
        if value != void
    ]


def _map_of(regions: list[Plain], size: tuple[int, int], void: int) -> np.ndarray:
    ids = np.full(size, void, np.uint8 if void == 255 else np.uint16)
    for region in regions:
        ids[_mask_of(region["mask"], size).decode()] = region["id"]
    return ids


def _plain_instance(one: Instance) -> Plain:
    return {
        "class_id": int(one.class_id),
        "box": [float(edge) for edge in one.box_xyxy],
        "mask": None if one.mask is None else one.mask.to_coco(),
        "score": _number(one.score),
        "crowd": bool(one.crowd),
        "track_id": None if one.track_id is None else int(one.track_id),
        "area": _number(one.area),
        **({"extras": dict(one.extras)} if one.extras else {}),
    }


def _instance_of(plain: Plain) -> Instance:
    left, top, right, bottom = (float(edge) for edge in plain["box"])
    mask, track = plain.get("mask"), plain.get("track_id")
    return Instance(
        class_id=int(plain["class_id"]),
        box_xyxy=(left, top, right, bottom),
        mask=None if mask is None else Mask.from_coco(mask),
        score=_number(plain.get("score")),
        crowd=bool(plain.get("crowd", False)),
        track_id=None if track is None else int(track),
        area=_number(plain.get("area")),
        extras=dict(plain.get("extras") or {}),
    )


def _plain_panoptic(panoptic: Panoptic) -> list[Plain]:
    drawn = set(np.unique(panoptic.segment_ids).tolist()) - {0}
    return [
        {
            "id": int(segment),
            "class_id": panoptic.class_of.get(segment),
            "crowd": segment in panoptic.crowds,
            "mask": Mask.encode(panoptic.segment_ids == segment).to_coco()
            if segment in drawn
            else None,
        }
        for segment in sorted(drawn | set(panoptic.class_of) | panoptic.crowds)
    ]


def _panoptic_of(segments: list[Plain], size: tuple[int, int]) -> Panoptic:
    ids = np.zeros(size, np.int32)
    for one in segments:
        if one.get("mask") is not None:
            ids[_mask_of(one["mask"], size).decode()] = one["id"]
    return Panoptic(
        segment_ids=ids,
        class_of={
            int(one["id"]): int(one["class_id"])
            for one in segments
            if one.get("class_id") is not None
        },
        crowds=frozenset(int(one["id"]) for one in segments if one.get("crowd")),
    )


def _mask_of(coco: Plain, size: tuple[int, int]) -> Mask:
    mask = Mask.from_coco(coco)
    if mask.size != size:
        raise DataError(f"expected masks of the size {size} (height, width), got {mask.size}.")
    return mask


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
