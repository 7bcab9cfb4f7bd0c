"""Writing CVAT's XML 1.1 for images; `cvat` reads it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from xml.sax.saxutils import quoteattr

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.files import atomic_path
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.formats import folders
from maskwright.formats.cvat_shapes import runs_of
from maskwright.formats.drawings import Drawing, drawings_of, require_plain, window_of
from maskwright.formats.writing import Entry, Target, Written, lost

NO_SUBSET = "default"
"""What CVAT calls the subset of images that have none."""


def write_sample(target: Target, split: str, sample: Sample, truth: Segmentation) -> Written:
    """Write one image; what is drawn in it goes to annotations.xml.

    Raises:
        DataError: neither objects nor labels, or a name that XML can't hold.
    """
    if truth.instances is None and truth.labels is None:
        raise DataError(
            f"{split}/{sample.name} has neither objects nor image labels; expected one of them. "
            "Write this set as index_masks."
        )
    images = target.root / "images" / ("" if target.alone else split)
    require_plain([*target.classes.names, split, sample.name], "cvat")
    image = folders.copy_image(sample, images, target.link)
    drawings, losses, remarks = drawings_of(truth, target.options.masks)
    names = target.classes.names
    elements = [element for one in drawings for element in _elements(one, names)]
    elements += [ET.Element("tag", label=names[one.class_id], source="manual")
                 for one in truth.labels or ()]  # fmt: skip
    height, width = truth.size
    entry = {
        "name": image.relative_to(images).as_posix(),
        "width": width,
        "height": height,
        "elements": [ET.tostring(one, encoding="unicode") for one in elements],
    }
    number = truth.extras.get("id")
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        entry["id"] = number
    attributes = [one.instance.extras.get("attributes", {}) for one in drawings]
    odd = sum(
        not isinstance(own, dict) or not all(map(_is_plain, own, own.values()))
        for own in attributes
    )
    scored = sum(one.score is not None for one in truth.labels or ())
    losses += lost(
        {
            "the scores of {} image labels": scored,
            "attributes of {} objects that are more than a line of text": odd,
        }
    )
    return Written(entry=entry, losses=losses, remarks=remarks)


def finish(target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Write annotations.xml, image by image: the entries may lie on disk."""
    with atomic_path(target.root / "annotations.xml") as temporary:
        _write(temporary, target, entries)


def _write(path: Path, target: Target, entries: Mapping[str, Sequence[Entry]]) -> None:
    stated = [entry.get("id") for own in entries.values() for entry in own]
    kept = None not in stated and len(set(stated)) == len(stated)
    numbers = iter(stated) if kept else count()
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        )
        total = sum(len(own) for own in entries.values())
        about = "".join(_about(target, entries))
        labels = _labels(target.classes)
        file.write(f"<meta><task>{about}<size>{total}</size>{labels}</task></meta>\n")
        for split, own in entries.items():
            subset = "" if target.alone else f" subset={quoteattr(split)}"
            for entry in own:
                file.write(
                    f'<image id="{next(numbers)}" name={quoteattr(entry["name"])}{subset} '
                    f'width="{entry["width"]}" height="{entry["height"]}">\n'
                )
                file.writelines(f"{element}\n" for element in entry["elements"])
                file.write("</image>\n")
        file.write("</annotations>\n")


def _about(target: Target, entries: Mapping[str, Sequence[Entry]]) -> Iterator[str]:
    """What CVAT's own file told of the task; of several, the first."""
    told = target.about_of(next(iter(entries), ""), "cvat")
    for key, value in told.items():
        element = ET.Element(key)
        element.text = str(value)
        yield ET.tostring(element, encoding="unicode")


def _labels(classes: Classes) -> str:
    root = ET.Element("labels")
    for name, (red, green, blue) in zip(classes.names, classes.colours):
        label = ET.SubElement(root, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "color").text = f"#{red:02x}{green:02x}{blue:02x}"
        ET.SubElement(label, "type").text = "any"
        ET.SubElement(label, "attributes")
    return ET.tostring(root, encoding="unicode")


def _elements(one: Drawing, names: Sequence[str]) -> Iterator[ET.Element]:
    told = one.instance.extras.get("attributes")
    attributes = {**told} if isinstance(told, dict) else {}
    occluded = str(int(attributes.pop("occluded", 0) in (1, "1", "true")))
    order = one.instance.extras.get("z_order", 0)
    common = {
        "label": names[one.instance.class_id],
        "source": "manual",
        "occluded": occluded,
        "z_order": str(order) if isinstance(order, int) else "0",
    }
    for element in _drawn(one, common):
        for key, value in attributes.items():
            if _is_plain(key, value):
                ET.SubElement(element, "attribute", name=key).text = _text(value)
        yield element


def _is_plain(key: object, value: object) -> bool:
    """Whether an attribute is a text, number or truth value that XML can hold."""
    try:
        require_plain([str(key), _text(value) or "-"], "cvat")
    except DataError:
        return False
    return isinstance(value, str | int | float)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _drawn(one: Drawing, common: dict[str, str]) -> Iterator[ET.Element]:
    if one.kind == "mask" and one.instance.mask is not None:
        (left, top, right, bottom), pixels = window_of(one.instance.mask)
        yield ET.Element("mask", common | {
            "rle": ", ".join(map(str, runs_of(pixels))),
            "left": str(left), "top": str(top),
            "width": str(right - left), "height": str(bottom - top),
        })  # fmt: skip
    elif one.kind == "box":
        edges = [f"{edge:.4f}".rstrip("0").rstrip(".") for edge in one.instance.box_xyxy]
        places = dict(zip(("xtl", "ytl", "xbr", "ybr"), edges))
        yield ET.Element("box", common | places)
    for polygon in one.polygons:
        points = ";".join(f"{_number(x)},{_number(y)}" for x, y in polygon.tolist())
        group = {"group_id": str(one.group)} if one.group else {}
        yield ET.Element("polygon", common | {"points": points} | group)


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")  # every digit: masks are read back to the pixel
