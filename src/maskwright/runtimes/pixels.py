"""What a user hands to `predict` -> pixels that the one resize can take, or a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import eight_bits
from maskwright.core.pixels import RGB, Pixels, read_as

ColourOrder = Literal["rgb", "bgr"]


def read_pixels(
    image: Path | str | np.ndarray, colour_order: ColourOrder, kind: Pixels = RGB
) -> np.ndarray:
    """Read a file, or check an array.

    Args:
        image: a path; or uint8 or uint16 [H, W] (grey), [H, W, 1], [H, W, 3], or [H, W, 4], whose
            alpha is dropped. 16-bit values are divided by 257. Of another kind than RGB of 8
            bits: exactly that.
        colour_order: of an array's channels; files say theirs themselves.
        kind: what the model takes.

    Returns:
        uint8 [H, W, 3], or what `kind` tells: RGB of a file, else in the array's own order.

    Raises:
        DataError: no image, or an array of another type or shape.
        ConfigError: an unknown colour order.
    """
    pixels = open_pixels(image, colour_order, kind)
    if kind != RGB:
        return pixels
    return _three_channels(eight_bits(pixels) if pixels.dtype == np.uint16 else pixels)


def open_pixels(
    image: Path | str | np.ndarray, colour_order: ColourOrder, kind: Pixels = RGB
) -> np.ndarray:
    """`read_pixels` up to the conversion: an array comes back as it is, once it was checked."""
    if colour_order not in ("rgb", "bgr"):
        raise ConfigError(f"expected colour_order 'rgb' or 'bgr', got {colour_order!r}.")
    if isinstance(image, str | Path):
        return read_as(image, kind)
    if not isinstance(image, np.ndarray):
        raise DataError(
            "expected an image as a path or a numpy array [height, width, 3], got "
            f"{type(image).__name__}; convert it with numpy.asarray."
        )
    if kind != RGB:
        if 0 in image.shape:
            raise DataError(f"expected an image with pixels, got the shape {image.shape}.")
        return kind.check(image)
    _refuse_shape(image.shape)
    _refuse_type(image.dtype)
    return image


def _refuse_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        channels_first = len(shape) == 3 and shape[0] in (1, 3, 4)
        hint = "; move the channels last with .transpose(1, 2, 0)" if channels_first else ""
        raise DataError(
            "expected one image [height, width, 3], [height, width, 4] or [height, width], got "
            f"the shape {shape}{hint}."
        )
    if 0 in shape:
        raise DataError(f"expected an image with pixels, got an empty array of shape {shape}.")


def _refuse_type(dtype: np.dtype) -> None:
    if dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"expected an image of uint8 0..255 or uint16 0..65535, got {dtype}; scale it to "
            "0..255 and convert it with .astype(numpy.uint8)."
        )


def _three_channels(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image[..., :3])
