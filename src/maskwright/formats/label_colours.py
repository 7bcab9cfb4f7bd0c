"""Masks that hold colours: which class a colour means, as tables beside the masks tell it.

labelmap.txt        # label:color_rgb:parts:actions         (CVAT, Datumaro)
                    crack:128,0,0::
class_dict.csv      name,r,g,b                              (CamVid on Kaggle and others)
                    Sky,128,128,128
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.core.errors import DataError
from maskwright.core.image import open_picture, read_image, read_index_png
from maskwright.formats import folders
from maskwright.formats.text_files import read_text

Colour = tuple[int, int, int]

VOID_COLOUR = (224, 224, 192)
"""Of the contours in Pascal VOC's pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourTable:
    """Names and colours of classes, in the order of their ids.

    Attributes:
        names: of the classes.
        colours: RGB 0..255 of each, or None where the file tells none.
        source: the file.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...] | None
    source: Path

    @property
    def id_of(self) -> dict[Colour, int]:
        """Colour -> id; empty where there are none, or where two classes share one."""
        table = {colour: i for i, colour in enumerate(self.colours or ())}
        return table if len(table) == len(self.names) else {}


def voc_colour(number: int) -> Colour:
    """The colour of an id in Pascal VOC's colour map: bits 0 to 7 of the id, spread from the top.

    Source: `VOClabelcolormap` as told in the development kit's documentation.
    """
    red = green = blue = 0
    for place in range(8):
        red |= (number >> 3 * place & 1) << 7 - place
        green |= (number >> 3 * place + 1 & 1) << 7 - place
        blue |= (number >> 3 * place + 2 & 1) << 7 - place
    return red, green, blue


def read_label_map(file: Path) -> ColourTable | None:
    """The table of a labelmap.txt; None where it names no class.

    Raises:
        DataError: it is no text.
    """
    lines = [line.strip() for line in read_text(file).splitlines()]
    rows = [line.split(":") for line in lines if line and not line.startswith("#")]
    names = tuple(row[0].strip() for row in rows if row[0].strip())
    if not names:
        return None
    told = [_colour(row[1].split(",")) if len(row) > 1 else None for row in rows if row[0].strip()]
    return ColourTable(names=names, colours=_all(told), source=file)


def read_class_dict(file: Path) -> ColourTable | None:
    """The table of a class_dict.csv; None where it holds no row of a name and a colour.

    Raises:
        DataError: it is no text.
    """
    rows = [row for row in csv.reader(io.StringIO(read_text(file))) if len(row) >= 4]
    found = [(row[0].strip(), colour) for row in rows if (colour := _colour(row[1:4]))]
    names = tuple(name for name, _ in found)
    if not names:
        return None
    return ColourTable(names=names, colours=tuple(colour for _, colour in found), source=file)


def read_ids(mask: Path, table: Mapping[Colour, int], void: int = 255) -> np.ndarray:
    """The ids of a mask: those that it holds, or those that its colours mean.

    A palette's colours count where the table knows all that are used; else its ids are meant.

    Args:
        mask: an index mask, a palette PNG, or a picture of colours.
        table: colour -> id; empty where none is known.
        void: id of `VOID_COLOUR`, and of white where no class has it.

    Returns:
        uint8 or uint16 [H, W].

    Raises:
        DataError: damaged, or colours that the table lacks.
    """
    if not table:
        return read_index_png(mask)
    table = {VOID_COLOUR: void} | dict(table)
    mode, palette = _mode(mask)
    if mode == "P" and palette:
        ids = read_index_png(mask)
        used = np.unique(ids).tolist()
        colours = {i: palette.get(i, (-1, -1, -1)) for i in used}
        if not all(colour in table for colour in colours.values()):
            return ids
        lookup = np.arange(256, dtype=np.uint16)
        lookup[used] = [table[colours[i]] for i in used]
        return _narrow(lookup[ids])
    if mode not in ("RGB", "RGBA"):
        return read_index_png(mask)
    return _of_colours(mask, table)


def _of_colours(mask: Path, table: Mapping[Colour, int]) -> np.ndarray:
    pixels = read_image(mask).astype(np.uint32)
    codes = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    present, places = np.unique(codes, return_inverse=True)
    colours = [(code >> 16, code >> 8 & 255, code & 255) for code in present.tolist()]
    unknown = [colour for colour in colours if colour not in table]
    if unknown and all(len(set(colour)) == 1 for colour in colours):
        return read_index_png(mask)  # ids, saved in three equal channels
    if unknown:
        told = folders.shortlist([str(colour) for colour in unknown])
        raise DataError(
            f"{mask} holds the colours {told}, which the table of classes beside the masks lacks; "
            "add them there, or mend the mask (was it saved as JPEG, or resized with smoothing?)."
        )
    ids = np.array([table[colour] for colour in colours], np.uint16)
    return _narrow(ids[places].reshape(codes.shape))


def _narrow(ids: np.ndarray) -> np.ndarray:
    return ids.astype(np.uint8) if ids.max(initial=0) < 256 else ids


def _mode(mask: Path) -> tuple[str, dict[int, Colour]]:
    """How a picture's pixels are stored, and its palette."""
    try:
        with open_picture(mask) as picture:
            flat = picture.getpalette("RGB") if picture.mode == "P" else None
            mode = picture.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "", {}  # told by the reader
    flat = flat or []
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=False)
    return mode, {i: (int(r), int(g), int(b)) for i, (r, g, b) in enumerate(rows)}


def _colour(texts: Sequence[str]) -> Colour | None:
    values = [int(t) for t in texts if t.strip().isdecimal() and len(t.strip()) < 4]
    if len(values) != 3 or len(texts) != 3 or max(values) > 255:
        return None
    return values[0], values[1], values[2]


def _all(colours: Sequence[Colour | None]) -> tuple[Colour, ...] | None:
    known = tuple(colour for colour in colours if colour is not None)
    return known if len(known) == len(colours) else None
