"""Class maps as PNG that shows the classes' colours."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.image import encode_png


def void_colour(classes: Classes) -> Colour:
    """Black, or white where a class is nearly black itself."""
    dark = any(max(colour) < 40 for colour in classes.colours)
    return (255, 255, 255) if dark else (0, 0, 0)


def index_png(class_map: np.ndarray, classes: Classes) -> bytes:
    """Encode a class map as PNG: the ids as they are, shown in the classes' colours.

    Args:
        class_map: ids [H, W]; uint8 becomes a palette PNG, uint16 a 16-bit grey one.
        classes: the palette; void is black, or white where a class is nearly black.

    Raises:
        DataError: another shape or type.
    """
    if class_map.ndim != 2 or class_map.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"expected class ids uint8 or uint16 [H, W], got {class_map.dtype} {class_map.shape}."
        )
    if class_map.dtype == np.uint16:
        return encode_png(class_map)
    height, width = class_map.shape
    ids = np.ascontiguousarray(class_map)
    picture = Image.frombuffer("P", (width, height), ids, "raw", "P", 0, 1)
    palette = np.full((256, 3), 128, np.uint8)
    palette[: len(classes.colours)] = np.reshape(classes.colours, (-1, 3))[:256]
    palette[255] = void_colour(classes) if len(classes) <= 255 else palette[255]
    picture.putpalette(palette.tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
