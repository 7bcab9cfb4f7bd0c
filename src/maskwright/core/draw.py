"""Drawing what is in an image: overlays and palette PNGs.

Every picture is uint8 RGB [H, W, 3]. The panels of `core.panels` can be had from here too.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.image import encode_png
from maskwright.core.paint import instance_colour, paint
from maskwright.core.panels import contact_sheet, legend, side_by_side
from maskwright.core.segmentation import Segmentation

__all__ = [
    "contact_sheet",
    "index_png",
    "instance_colour",
    "legend",
    "overlay",
    "side_by_side",
    "void_colour",
]


def overlay(
    image: np.ndarray,
    segmentation: Segmentation,
    opacity: float = 0.5,
    outline: bool = True,
    labels: bool = True,
) -> np.ndarray:
    """Draw a segmentation on its image; the image itself is left as it is.

    Class maps tint their pixels (void stays untouched); objects lie above them, the smaller above
    the larger, each in a shade of its class; panoptic segments are drawn where there is no other
    form. Labels that would cover one another are left out, the least confident first.

    Args:
        image: uint8 RGB [H, W, 3] of the segmentation's size.
        segmentation: what to draw.
        opacity: of the tint, 0 (none) to 1 (the image is hidden).
        outline: trace regions and masks, and draw the boxes of objects without a mask.
        labels: name objects and image labels, with their score.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        DataError: the image has another size or type than the segmentation needs.
    """
    if image.shape != (*segmentation.size, 3) or image.dtype != np.uint8:
        raise DataError(
            f"expected an RGB image uint8 {(*segmentation.size, 3)} for this segmentation, got "
            f"{image.dtype} {image.shape}."
        )
    if not 0 <= opacity <= 1:
        raise DataError(f"expected an opacity from 0 to 1, got {opacity}.")
    return paint(
        image,
        segmentation.classes,
        semantic=segmentation.semantic,
        instances=segmentation.instances,
        panoptic=segmentation.panoptic,
        labels=segmentation.labels,
        opacity=opacity,
        outline=outline,
        named=labels,
    )


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
