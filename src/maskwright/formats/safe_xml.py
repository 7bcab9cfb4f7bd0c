"""XML files that anybody may have written, read without ever expanding an entity."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from xml.parsers import expat

from maskwright.core.errors import DataError
from maskwright.core.image import read_bytes

_ENCODING = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.-]+)""")
_OF_EXPAT = frozenset({"utf-8", "utf-16", "iso-8859-1", "us-ascii"})


def parse_xml(path: Path, tag: str) -> ET.Element:
    """The root of an XML file.

    Args:
        path: the file.
        tag: that the root must have.

    Raises:
        DataError: no XML, entities are declared, or another root.
    """
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
    if root.tag != tag:
        raise DataError(f"{path}: expected the element <{tag}>, got <{root.tag[:40]}>.")
    return root


def number_of(element: ET.Element, key: str, default: float | None = None) -> float:
    """An attribute that is a finite number.

    Raises:
        DataError: it is missing (without a default) or something else.
    """
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"expected a number as {key}, got {(text or '')[:40]!r}; mend it.")
    return number


def whole_of(element: ET.Element, key: str, default: int | None = None) -> int:
    """An attribute that is a whole number, also where it is written as 1.0.

    Raises:
        DataError: as `number_of`.
    """
    number = float(number_of(element, key, default))
    if not number.is_integer():
        raise DataError(f"expected a whole number as {key}, got {number:g}; mend it.")
    return int(number)


def _decoded(data: bytes) -> str | bytes:
    """The text where its encoding is one that expat lacks, such as GBK, else the bytes."""
    declared = _ENCODING.match(data)
    name = declared[1].decode() if declared else "utf-8"
    return data if name.lower() in _OF_EXPAT else data.decode(name)


class _EntityError(Exception):
    """An entity was declared."""


def _refuse_entity(name: str, *_: object) -> None:
    raise _EntityError(name[:40])
