"""The XML files of Pascal VOC: objects with boxes; read without ever expanding an entity.

Boxes are whole pixels counted from 1, both ends included: xmin 1, xmax 1 is the first column. Here
they become pixel edges (left = xmin - 1, right = xmax).
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from maskwright.core.errors import DataError
from maskwright.core.image import read_bytes
from maskwright.core.parts import Instance

_ENCODING = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.-]+)""")
_OF_EXPAT = frozenset({"utf-8", "utf-16", "iso-8859-1", "us-ascii"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """One object of an annotation.

    Attributes:
        name: of its class.
        box_xyxy: pixel edges.
        difficult: to be ignored where it is not found.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """What an XML file tells of an image.

    Attributes:
        objects: in the order of the file.
        size: (height, width) where it is told.
        segmented: whether every object has a mask; None where it isn't told.
    """

    objects: tuple[Object, ...]
    size: tuple[int, int] | None
    segmented: bool | None


def read_annotation(path: Path) -> Annotation:
    """Read one XML file.

    Raises:
        DataError: no XML, entities, or an object without name or box; names file and object.
    """
    root = _parse(path)
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
    )


def annotation_text(
    file_name: str,
    size: tuple[int, int],
    objects: Sequence[Instance],
    names: Sequence[str],
    segmented: bool,
) -> str:
    """An XML file's text; crowds are "difficult".

    Args:
        file_name: of the image.
        size: (height, width).
        objects: in the order of their numbers in SegmentationObject.
        names: of the classes.
        segmented: whether all objects have a mask.
    """
    root = ET.Element("annotation")
    _add(root, folder="JPEGImages", filename=file_name)
    _add(ET.SubElement(root, "size"), width=size[1], height=size[0], depth=3)
    _add(root, segmented=int(segmented))
    for one in objects:
        left, top, right, bottom = one.box_xyxy
        found = ET.SubElement(root, "object")
        _add(found, name=names[one.class_id], pose="Unspecified", truncated=0)
        _add(found, difficult=int(one.crowd))
        box = ET.SubElement(found, "bndbox")
        _add(box, xmin=_number(left + 1), ymin=_number(top + 1))
        _add(box, xmax=_number(right), ymax=_number(bottom))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _parse(path: Path) -> ET.Element:
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(_decoded(read_bytes(path)), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{path} is no valid XML ({error}); mend it or copy it again.") from None
    except _EntityError as error:
        raise DataError(
            f"{path} declares the XML entity {error}, expected plain elements; remove it."
        ) from None
    root = builder.close()
    if root.tag != "annotation":
        raise DataError(f"{path}: expected the element <annotation>, got <{root.tag[:40]}>.")
    return root


def _decoded(data: bytes) -> str | bytes:
    """The text where its encoding is one that expat lacks, such as GBK, else the bytes."""
    declared = _ENCODING.match(data)
    name = declared[1].decode() if declared else "utf-8"
    return data if name.lower() in _OF_EXPAT else data.decode(name)


class _EntityError(Exception):
    """An entity was declared."""


def _refuse_entity(name: str, *_: object) -> None:
    raise _EntityError(name[:40])


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
    return Object(name=name, box_xyxy=(left, top, right, bottom), difficult=difficult)


def _add(parent: ET.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
