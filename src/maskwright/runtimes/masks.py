"""A network's masks brought to the image's pixels: each inside its own box, coded together.

Legend of shape suffixes: N objects, h w the masks' stride of the network's input, H W that input.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.mask_lists import masks_of_windows, turned_window
from maskwright.core.resize import Geometry, nearest_places

_Window = tuple[np.ndarray, int, int]
"""Pixels uint8 {0, 1}, and where the window's left and top lie."""

_NOTHING: _Window = (np.zeros((0, 0), np.uint8), 0, 0)
_SLACK = 1e-3
_MARGIN = 2  # pixels around what is above the threshold: as far as enlarging reaches, and one


def restore_masks(
    masks_Nhw: Sequence[np.ndarray], size: tuple[int, int], threshold: float, geometry: Geometry
) -> list[Mask]:
    """The card's rule: enlarged in the input's frame, cut at the threshold, then restored.

    Args:
        masks_Nhw: numbers [h, w] each, over the whole input.
        size: (H, W) of the input.
        threshold: what lies above is inside.
        geometry: where the image lies in the input.

    Returns:
        N masks of the image's size.
    """
    rows = nearest_places(geometry.content[0], geometry.source[0])
    columns = nearest_places(geometry.content[1], geometry.source[1])
    windows, corners = [], []
    for mask_hw in masks_Nhw:
        window, left, top = _content(_inside(mask_hw, size, threshold), geometry)
        height, width = window.shape
        y, y_end = np.searchsorted(rows, (top, top + height)).tolist()
        x, x_end = np.searchsorted(columns, (left, left + width)).tolist()
        if geometry.source != geometry.content:
            window = window.take(rows[y:y_end] - top, axis=0)  # whole rows, before and after
            turned = turned_window(window).take(columns[x:x_end] - left, axis=0)
        else:
            turned = turned_window(window)
        windows.append(turned)
        corners.append((x, y))
    return masks_of_windows(windows, corners, geometry.source)


def _inside(mask_hw: np.ndarray, size: tuple[int, int], threshold: float) -> _Window:
    """Where the enlarged mask is above the threshold, as a window of the input [H, W]."""
    (height, width), (full_height, full_width) = mask_hw.shape, size
    times_y, times_x = full_height // height, full_width // width
    # Only by powers of two is every step of the interpolation in a part what it is in the whole.
    exact = (full_height, full_width) == (height * times_y, width * times_x)
    if not exact or not (_is_power_of_two(times_y) and _is_power_of_two(times_x)):
        values_HW = cv2.resize(
            mask_hw.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR
        )
        return (values_HW > threshold).view(np.uint8), 0, 0
    bounds = _bounds(mask_hw, threshold)
    if bounds is None:
        return _NOTHING
    left, top, right, bottom = bounds
    values_hw: np.ndarray = mask_hw[top:bottom, left:right].astype(np.float32)
    if (times_y, times_x) != (1, 1):
        enlarged = ((right - left) * times_x, (bottom - top) * times_y)
        values_hw = cv2.resize(values_hw, enlarged, interpolation=cv2.INTER_LINEAR)
    return (values_hw > threshold).view(np.uint8), left * times_x, top * times_y


def _bounds(mask_hw: np.ndarray, threshold: float) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what can be above the threshold after enlarging; None: nothing.

    An interpolated value is no larger than its neighbours, but for rounding.
    """
    if mask_hw.dtype in (np.uint8, np.bool_) and threshold >= 0:
        above = mask_hw.view(np.uint8)
    else:
        least = threshold - _SLACK * max(1.0, abs(threshold))
        above = (mask_hw.astype(np.float32, copy=False) > least).view(np.uint8)
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(above))
    if not width:
        return None
    return (
        max(0, left - _MARGIN),
        max(0, top - _MARGIN),
        min(mask_hw.shape[1], left + width + _MARGIN),
        min(mask_hw.shape[0], top + height + _MARGIN),
    )


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _content(window: _Window, geometry: Geometry) -> _Window:
    """The part of a window that the image fills, its place told from there."""
    pixels, left, top = window
    (shift_y, shift_x), (height, width) = geometry.offset, geometry.content
    top, left = top - shift_y, left - shift_x
    cut_y, cut_x = max(0, -top), max(0, -left)
    part = pixels[cut_y : max(0, height - top), cut_x : max(0, width - left)]
    return (part, left + cut_x, top + cut_y) if part.size else _NOTHING
