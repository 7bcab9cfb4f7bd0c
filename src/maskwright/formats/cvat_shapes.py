"""The elements of CVAT's XML that are drawn: box, polygon, ellipse, mask; the others are counted.

A mask's "rle" counts the pixels of its box along the rows, zeros first; "points" are pairs "x,y"
with ";" between them; "rotation" is in degrees, clockwise.

Reference: CVAT's documentation, "Formats: CVAT" (docs.cvat.ai).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from maskwright.core.classes import Colour
from maskwright.core.errors import DataError
from maskwright.core.image import MAX_PIXELS
from maskwright.formats import shapes
from maskwright.formats.safe_xml import number_of, whole_of
from maskwright.formats.shapes import Shape

LEFT_OUT = frozenset({"polyline", "points", "cuboid", "skeleton"})
"""What is drawn, but covers no area of the image."""

_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_SHORT = re.compile(r"#([0-9a-fA-F])([0-9a-fA-F])([0-9a-fA-F])")


def read_shape(element: ET.Element, label: str, told: Counter[str]) -> Shape | None:
    """A drawn element as a shape; None where it is one that covers no area.

    Args:
        element: of an image or a track.
        label: its class's name.
        told: takes what isn't kept.

    Raises:
        DataError: no label, another element, or numbers that are none.
    """
    if element.tag in LEFT_OUT:
        told["{} polylines, points, cuboids and skeletons are left out."] += 1
        return None
    read = _KINDS.get(element.tag)
    if read is None:
        known = ", ".join((*_KINDS, *sorted(LEFT_OUT)))
        raise DataError(f"expected one of {known}, got <{element.tag[:40]}>; remove it.")
    if not label:
        raise DataError("expected a label, got none; mend it.")
    # "occluded" is an attribute, as in CVAT's COCO files and in Pascal VOC's
    attributes: dict[str, Any] = {"occluded": True} if element.get("occluded") == "1" else {}
    attributes |= {one.get("name", ""): one.text or "" for one in element.findall("attribute")}
    extras: dict[str, Any] = {"attributes": attributes} if attributes else {}
    if order := whole_of(element, "z_order", 0):
        extras["z_order"] = order
    return replace(read(element, label, told), extras=extras)


def colour_of(text: str | None) -> Colour | None:
    """ "#ff8000" or "#f80" -> RGB; None for anything else."""
    told = _SHORT.sub(r"#\1\1\2\2\3\3", text.strip()) if text and len(text.strip()) == 4 else text
    match = _HEX.fullmatch((told or "").strip())
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def runs_of(pixels: np.ndarray) -> list[int]:
    """Run lengths of pixels bool [h, w] along the rows, zeros first."""
    flat = pixels.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()
    return [0, *runs] if flat[0] else runs


def _box(element: ET.Element, label: str, told: Counter[str]) -> Shape:
    left, top, right, bottom = (number_of(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    degrees = number_of(element, "rotation", 0.0)
    if degrees:
        told["{} turned boxes are read as the upright boxes around them."] += 1
        return shapes.rectangle(label, shapes.turned((left, top, right, bottom), degrees))
    return shapes.rectangle(label, np.array([[left, top], [right, bottom]]))


def _polygon(element: ET.Element, label: str, _: Counter[str]) -> Shape:
    text = element.get("points", "")
    pairs = [pair.split(",") for pair in text.split(";")]
    try:
        corners = np.array([[float(x), float(y)] for x, y in pairs])
    except ValueError:
        corners = np.array([[np.nan, np.nan]])
    if not np.isfinite(corners).all():
        raise DataError(f'expected points as "x,y;x,y;...", got {text[:80]!r}; mend them.')
    return shapes.polygon(label, corners)


def _ellipse(element: ET.Element, label: str, _: Counter[str]) -> Shape:
    centre = number_of(element, "cx"), number_of(element, "cy")
    radii = number_of(element, "rx"), number_of(element, "ry")
    return shapes.ellipse(label, centre, radii, number_of(element, "rotation", 0.0))


def _mask(element: ET.Element, label: str, _: Counter[str]) -> Shape:
    size = whole_of(element, "height"), whole_of(element, "width")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"expected a mask's width and height in pixels, got {size[1]}x{size[0]}.")
    left, top = whole_of(element, "left"), whole_of(element, "top")
    shapes.rectangle(label, np.array([[left, top], [left, top]], np.float64))  # not absurdly far
    text = element.get("rle", "")
    try:
        runs = np.array([int(run) for run in text.split(",")], np.int64)
    except (ValueError, OverflowError):
        raise DataError(f'expected rle as "3, 4, 5", got {text[:80]!r}; mend it.') from None
    if (runs < 0).any() or (runs > MAX_PIXELS).any() or int(runs.sum()) != size[0] * size[1]:
        raise DataError(
            f"expected run lengths >= 0 that sum to {size[1]}x{size[0]} (width x height), got "
            f"{len(runs)} that sum to {sum(runs.tolist())}; mend them."
        )
    return shapes.stencil(label, left, top, size, partial(_decode, runs, size))


def _decode(runs: np.ndarray, size: shapes.Size) -> np.ndarray:
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


_KINDS: dict[str, Callable[[ET.Element, str, Counter[str]], Shape]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
"""Element -> (element, label, what isn't kept) -> the shape."""
