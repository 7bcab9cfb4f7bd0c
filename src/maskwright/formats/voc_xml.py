"""The XML files of Pascal VOC: objects with boxes; read without ever expanding an entity.

Boxes are whole pixels counted from 1, both ends included: xmin 1, xmax 1 is the first column. Here
they become pixel edges (left = xmin - 1, right = xmax).
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.errors import DataError
from maskwright.core.parts import Instance
from maskwright.formats.safe_xml import parse_xml

_TAG = re.compile(r"[A-Za-z_][\w.-]{0,60}", re.ASCII)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """One object of an annotation.

    Attributes:
        name: of its class.
        box_xyxy: pixel edges.
        difficult: to be ignored where it is not found.
        polygons: x, y, x, y ... in pixel edges, as Roboflow writes them; empty where it has none.
        extras: "attributes" ("truncated", "occluded", "pose" and those of CVAT) and "parts", where
            they say something: see `Instance.extras`.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool
    polygons: tuple[tuple[float, ...], ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """What an XML file tells of an image.

    Attributes:
        objects: in the order of the file.
        size: (height, width) where it is told.
        segmented: whether every object has a mask; None where it isn't told.
        extras: "source" and "owner", where they are told.
    """

    objects: tuple[Object, ...]
    size: tuple[int, int] | None
    segmented: bool | None
    extras: Mapping[str, Any] = field(default_factory=dict)


def read_annotation(path: Path) -> Annotation:
    """Read one XML file.

    Raises:
        DataError: no XML, entities, or an object without name or box; names file and object.
    """
    root = parse_xml(path, "annotation")
    objects = tuple(
        _object(found, f"{path}, object {number}")
        for number, found in enumerate(root.findall("object"), start=1)
    )
    sides = [root.findtext(f"size/{side}") or "" for side in ("height", "width")]
    known = all(side.strip().isdecimal() and int(side) > 0 for side in sides)
    segmented = (root.findtext("segmented") or "").strip()
    return Annotation(
        objects=objects,
        size=(int(sides[0]), int(sides[1])) if known else None,
        segmented=segmented != "0" if segmented else None,
        extras={
            tag: told
            for tag in ("source", "owner")
            if (found := root.find(tag)) is not None and (told := _texts(found))
        },
    )


def annotation_text(
    file_name: str,
    size: tuple[int, int],
    objects: Sequence[Instance],
    names: Sequence[str],
    segmented: bool,
    extras: Mapping[str, Any] | None = None,
) -> str:
    """An XML file's text; crowds are "difficult".

    Args:
        file_name: of the image.
        size: (height, width).
        objects: in the order of their numbers in SegmentationObject.
        names: of the classes.
        segmented: whether all objects have a mask.
        extras: of the image; "source" and "owner" are written.
    """
    root = ET.Element("annotation")
    _add(root, folder="JPEGImages", filename=file_name)
    for tag in ("source", "owner"):
        told = (extras or {}).get(tag)
        if isinstance(told, Mapping):
            _add(ET.SubElement(root, tag), **_tags(told))
    _add(ET.SubElement(root, "size"), width=size[1], height=size[0], depth=3)
    _add(root, segmented=int(segmented))
    for one in objects:
        left, top, right, bottom = one.box_xyxy
        found = ET.SubElement(root, "object")
        attributes = {**told} if isinstance(told := one.extras.get("attributes"), Mapping) else {}
        _add(found, name=names[one.class_id], pose=attributes.pop("pose", "Unspecified"))
        _add(found, truncated=_flag(attributes.pop("truncated", 0)))
        if "occluded" in attributes:
            _add(found, occluded=_flag(attributes.pop("occluded")))
        _add(found, difficult=int(one.crowd))
        box = ET.SubElement(found, "bndbox")
        _add(box, xmin=_number(left + 1), ymin=_number(top + 1))
        _add(box, xmax=_number(right), ymax=_number(bottom))
        _add_parts(found, one.extras.get("parts"))
        _add_attributes(found, attributes)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _object(found: ET.Element, where: str) -> Object:
    name = (found.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{where}: expected a <name>, got {name!r}; mend or remove this object.")
    edges = []
    for key in ("xmin", "ymin", "xmax", "ymax"):
        text = (found.findtext(f"bndbox/{key}") or "").strip()
        try:
            edges.append(float(text))
        except ValueError:
            edges.append(math.nan)
        if not math.isfinite(edges[-1]):
            raise DataError(f"{where} ({name}): expected a number in <{key}>, got {text[:40]!r}.")
    left, top, right, bottom = edges[0] - 1, edges[1] - 1, edges[2], edges[3]
    if right < left or bottom < top:
        raise DataError(
            f"{where} ({name}): expected xmin <= xmax and ymin <= ymax, got {edges}; mend the box."
        )
    difficult = (found.findtext("difficult") or "0").strip() not in ("0", "")
    return Object(
        name=name,
        box_xyxy=(left, top, right, bottom),
        difficult=difficult,
        polygons=tuple(_polygon(one, f"{where} ({name})") for one in found.findall("polygon")),
        extras=_extras(found),
    )


def _polygon(found: ET.Element, where: str) -> tuple[float, ...]:
    """<x1/><y1/><x2/><y2/> ... in order of their numbers."""
    numbers = []
    for count in range(1, len(found) // 2 + 1):
        for axis in "xy":
            text = (found.findtext(f"{axis}{count}") or "").strip()
            try:
                numbers.append(float(text))
            except ValueError:
                numbers.append(math.nan)
            if not math.isfinite(numbers[-1]):
                raise DataError(
                    f"{where}: expected a number in <{axis}{count}> of its <polygon>, got "
                    f"{text[:40]!r}; mend or remove this object."
                )
    if len(numbers) < 6:
        raise DataError(f"{where}: expected a <polygon> of at least 3 corners; mend it.")
    return tuple(numbers)


def _extras(found: ET.Element) -> dict[str, Any]:
    """What the tags of an object say beyond class, box and difficulty; defaults say nothing."""
    attributes: dict[str, Any] = {}
    for tag in ("truncated", "occluded"):
        if (found.findtext(tag) or "0").strip() not in ("0", ""):
            attributes[tag] = 1
    pose = (found.findtext("pose") or "").strip()
    if pose not in ("", "Unspecified", "unspecified"):
        attributes["pose"] = pose
    for one in found.findall("attributes/attribute"):
        attributes[(one.findtext("name") or "").strip()] = (one.findtext("value") or "").strip()
    parts = [_texts(part) for part in found.findall("part")]
    told: dict[str, Any] = {"attributes": attributes, "parts": parts}
    return {key: value for key, value in told.items() if value}


def _texts(found: ET.Element, depth: int = 4) -> dict[str, Any]:
    """The texts below an element by their tags."""
    return {
        child.tag: _texts(child, depth - 1) if len(child) and depth else (child.text or "").strip()
        for child in found
    }


def _add_parts(found: ET.Element, parts: Any) -> None:
    """Parts of an object, as Pascal VOC's person layout has them: a name and a box each."""
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, Mapping):
            _add_tree(ET.SubElement(found, "part"), part)


def _add_tree(parent: ET.Element, texts: Mapping[str, Any]) -> None:
    for tag, text in _tags(texts).items():
        if isinstance(text, Mapping):
            _add_tree(ET.SubElement(parent, tag), text)
        else:
            ET.SubElement(parent, tag).text = _xml_text(text)


def _add_attributes(found: ET.Element, attributes: Mapping[str, Any]) -> None:
    """Further attributes as CVAT writes them: names and values."""
    if attributes:
        beside = ET.SubElement(found, "attributes")
        for name, value in attributes.items():
            one = ET.SubElement(beside, "attribute")
            _add(one, name=name, value=value)


def _tags(told: Mapping[str, Any]) -> dict[str, Any]:
    """Those whose keys can be names of elements."""
    return {key: value for key, value in told.items() if _TAG.fullmatch(str(key))}


def _flag(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _add(parent: ET.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = _xml_text(text)


def _xml_text(value: object) -> str:
    """A value as text of an element, without the characters that XML can't hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
