"""Drawing what is in an image: overlays and palette PNGs.

Every picture is uint8 RGB [H, W, 3]. The panels of `core.panels` and the PNGs of `core.palette` can
be had from here too.
"""

from __future__ import annotations

import numpy as np

from maskwright.core.paint import instance_colour
from maskwright.core.palette import index_png, void_colour
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
    return segmentation.draw(image, opacity=opacity, outline=outline, labels=labels)
