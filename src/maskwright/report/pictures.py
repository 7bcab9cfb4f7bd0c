"""Images -> data addresses: small enough that a page of many pictures stays one handy file."""

from __future__ import annotations

import base64

import cv2
import numpy as np

LONGEST_SIDE = 560
"""Pixels; larger pictures are reduced to it, area-averaged, so that thin lines fade, not vanish."""

BYTES_EACH = 70_000
"""Bound of one picture: 48 of them, in base64, stay below 5 MB."""

# Without it JPEG halves the colour's resolution, and coloured lines of one pixel fade.
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)

_QUALITIES = (88, 78, 65, 50, 35)


def reduce(image: np.ndarray, longest: int = LONGEST_SIDE) -> np.ndarray:
    """Shrink uint8 RGB [H, W, 3] until neither side is above `longest` pixels; never enlarge."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def data_address(image: np.ndarray) -> str:
    """uint8 RGB [H, W, 3] -> "data:image/...": PNG or JPEG, whichever is smaller.

    JPEG starts at quality 88 and steps down while the picture is above `BYTES_EACH`; what is still
    above it then (noise, mostly) loses size too, so that the bound always holds.

    Raises:
        ValueError: the array is no uint8 RGB image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"expected a uint8 RGB image [height, width, 3], got {image.dtype} {image.shape}"
        )
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    best, kind = cv2.imencode(".png", bgr)[1].tobytes(), "png"
    for quality in _QUALITIES:
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *_FULL_COLOUR])[
            1
        ].tobytes()
        if len(jpeg) < len(best):
            best, kind = jpeg, "jpeg"
        if len(best) <= BYTES_EACH:
            break
    else:
        return data_address(reduce(image, max(image.shape) * 3 // 4))
    return f"data:image/{kind};base64,{base64.b64encode(best).decode('ascii')}"
