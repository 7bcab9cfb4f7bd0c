"""Pictures of pictures: side by side, contact sheets, legends. All uint8 RGB [H, W, 3]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from maskwright.core.classes import Classes, Colour
from maskwright.core.errors import DataError
from maskwright.core.text import fitted, measure, put_text

_PAPER: Colour = (24, 26, 31)
_INK: Colour = (225, 228, 234)
_GAP = 10
_SCALE = 0.45


def side_by_side(images: Sequence[np.ndarray], titles: Sequence[str] | None = None) -> np.ndarray:
    """Pictures in a row, each scaled to the tallest one's height, with a title above each.

    Args:
        images: uint8 RGB [H, W, 3] or grey [H, W].
        titles: one a picture, shortened where they are too wide.

    Raises:
        DataError: no pictures, another type, or another number of titles.
    """
    pictures = _checked(images, titles)
    height = max(picture.shape[0] for picture in pictures)
    pictures = [
        _scaled(picture, (height, max(1, round(picture.shape[1] * height / picture.shape[0]))))
        for picture in pictures
    ]
    head = measure("", _SCALE)[1] + _GAP if titles else 0
    width = sum(picture.shape[1] + _GAP for picture in pictures) + _GAP
    canvas = _canvas(height + head + 2 * _GAP, width)
    left = _GAP
    for index, picture in enumerate(pictures):
        if titles:
            title = fitted(titles[index], picture.shape[1], _SCALE)
            put_text(canvas, title, (left, _GAP), _SCALE, _INK)
        _paste(canvas, picture, (left, _GAP + head))
        left += picture.shape[1] + _GAP
    return canvas


def contact_sheet(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    tile: tuple[int, int] = (240, 320),
) -> np.ndarray:
    """Pictures in rows, each scaled whole into a tile, with its title below.

    Args:
        images: uint8 RGB [H, W, 3] or grey [H, W].
        titles: one a picture, shortened where they are too wide.
        columns: tiles in a row; fewer where there are fewer pictures.
        tile: (height, width) of a tile.

    Raises:
        DataError: no pictures, another type, another number of titles, or no columns.
    """
    pictures = _checked(images, titles)
    if columns < 1 or min(tile) < 1:
        raise DataError(f"expected columns and a tile >= 1, got {columns} columns and tile {tile}.")
    columns = min(columns, len(pictures))
    foot = measure("", _SCALE)[1] + 4 if titles else 0
    step_y, step_x = tile[0] + foot + _GAP, tile[1] + _GAP
    canvas = _canvas(math.ceil(len(pictures) / columns) * step_y + _GAP, columns * step_x + _GAP)
    for index, picture in enumerate(pictures):
        top, left = _GAP + index // columns * step_y, _GAP + index % columns * step_x
        scale = min(tile[0] / picture.shape[0], tile[1] / picture.shape[1])
        size = tuple(max(1, min(t, round(p * scale))) for t, p in zip(tile, picture.shape))
        picture = _scaled(picture, (size[0], size[1]))
        margin = (tile[1] - size[1]) // 2
        _paste(canvas, picture, (left + margin, top + (tile[0] - size[0]) // 2))
        if titles:
            title = fitted(titles[index], tile[1] - margin, _SCALE)
            put_text(canvas, title, (left + margin, top + tile[0] + 3), _SCALE, _INK)
    return canvas


def legend(classes: Classes, rows: int = 20) -> np.ndarray:
    """A colour swatch and a name for each class, in columns of at most `rows`.

    Raises:
        DataError: there are no classes.
    """
    if not len(classes) or rows < 1:
        raise DataError(f"expected classes and rows for a legend, got {len(classes)} and {rows}.")
    line = measure("", _SCALE)[1] + 8
    swatch = line - 6
    rows = min(rows, len(classes))
    columns = math.ceil(len(classes) / rows)
    cell = swatch + max(measure(name, _SCALE)[0] for name in classes.names) + 2 * _GAP
    canvas = _canvas(rows * line + 2 * _GAP, columns * cell + _GAP)
    for index, (name, colour) in enumerate(zip(classes.names, classes.colours)):
        left, top = _GAP + index // rows * cell, _GAP + index % rows * line
        corner = (left + swatch - 1, top + 3 + swatch - 1)
        cv2.rectangle(canvas, (left, top + 3), corner, colour, cv2.FILLED)
        cv2.rectangle(canvas, (left, top + 3), corner, (110, 114, 122), 1)
        put_text(canvas, name, (left + swatch + 7, top + 4), _SCALE, _INK)
    return canvas


def _checked(images: Sequence[np.ndarray], titles: Sequence[str] | None) -> list[np.ndarray]:
    if not len(images):
        raise DataError("expected at least one picture, got none.")
    if titles is not None and len(titles) != len(images):
        raise DataError(f"expected a title a picture: {len(images)}, got {len(titles)} titles.")
    pictures = []
    for image in images:
        colour = image.ndim == 3 and image.shape[2] == 3
        if image.dtype != np.uint8 or not image.size or not (colour or image.ndim == 2):
            raise DataError(
                f"expected pictures as uint8 RGB [H, W, 3] or grey [H, W], got shape "
                f"{image.shape} of {image.dtype}."
            )
        pictures.append(image if colour else np.repeat(image[..., None], 3, axis=2))
    return pictures


def _scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[:2] == size:
        return picture
    shrinks = size[0] < picture.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (size[1], size[0]), interpolation=how)


def _canvas(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _paste(canvas: np.ndarray, picture: np.ndarray, at: tuple[int, int]) -> None:
    canvas[at[1] : at[1] + picture.shape[0], at[0] : at[0] + picture.shape[1]] = picture
