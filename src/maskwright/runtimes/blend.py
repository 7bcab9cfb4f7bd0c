"""Tiles' answers -> one class map: `Blend` of probabilities, `Join` of class maps.

Tiles come row by row, from left to right. What a tile shares with later ones is carried: to the
right as wide as two tiles overlap, down as high as two rows of tiles do. All other pixels are
decided at once, so that the image's probabilities never stand in memory as a whole.

Legend of shape suffixes: K classes, h w a tile, H W the image, o the most rows or columns that
tiles share.
"""

from __future__ import annotations

import numpy as np

from maskwright.runtimes.cover import Grid


class Blend:
    """A class map in the making: the likeliest class of weighed probabilities.

    Args:
        grid: of the tiles.
        classes: K.
        out_HW: the class map to write, uint8 or uint16.
    """

    def __init__(self, grid: Grid, classes: int, out_HW: np.ndarray) -> None:
        rows, columns = self._rows, self._columns = grid
        self._row_weights, self._column_weights = rows.weights(), columns.weights()
        self._out_HW = out_HW
        self._right_Kho = np.zeros((classes, rows.tile, columns.most_carried()), np.float32)
        self._below_KoW = np.zeros((classes, rows.most_carried(), columns.length), np.float32)

    def add(self, row: int, column: int, probabilities_Khw: np.ndarray) -> None:
        """Take the next tile: weigh it, add what earlier ones carried, decide, carry the rest.

        Args:
            row: of tiles.
            column: of tiles; after the last one the next row begins.
            probabilities_Khw: float32, in the image's pixels; overwritten.
        """
        weights_hw = self._row_weights[row][:, None] * self._column_weights[column]
        probabilities_Khw *= weights_hw
        if column:
            shared = self._columns.carried(column - 1)
            probabilities_Khw[:, :, :shared] += self._right_Kho[:, :, :shared]
        left, end = self._columns.starts[column], self._columns.next_start(column)
        rest_Khw = probabilities_Khw[:, :, end - left :]
        self._right_Kho[:, :, : rest_Khw.shape[2]] = rest_Khw
        self._finish(row, slice(left, end), probabilities_Khw[:, :, : end - left])

    def _finish(self, row: int, place: slice, sums_Khw: np.ndarray) -> None:
        """Columns that no tile of this row will touch any more."""
        if row:
            shared = self._rows.carried(row - 1)
            sums_Khw[:, :shared] += self._below_KoW[:, :shared, place]
        top, end = self._rows.starts[row], self._rows.next_start(row)
        rest_Khw = sums_Khw[:, end - top :]
        self._below_KoW[:, : rest_Khw.shape[1], place] = rest_Khw
        likeliest(sums_Khw[:, : end - top], self._out_HW[top:end, place])


class Join:
    """A class map in the making: each pixel from the tile in which it lies deepest.

    Args:
        grid: of the tiles.
        out_HW: the class map to write.
    """

    def __init__(self, grid: Grid, out_HW: np.ndarray) -> None:
        self._grid, self._out_HW = grid, out_HW
        self._rows, self._columns = grid.rows.owned(), grid.columns.owned()

    def add(self, row: int, column: int, class_map_hw: np.ndarray) -> None:
        """Take a tile's class map, in the image's pixels."""
        down, right = self._rows[row], self._columns[column]
        top, left = self._grid.rows.starts[row], self._grid.columns.starts[column]
        own_hw = class_map_hw[down.start - top : down.stop - top, right.start - left :]
        self._out_HW[down, right] = own_hw[:, : right.stop - right.start]


def likeliest(sums_Khw: np.ndarray, out_hw: np.ndarray) -> None:
    """argmax over the classes, the first of equals, into `out_hw`; the sums are overwritten.

    Plane by plane and without branches: on noisy pixels many times as fast as numpy's own argmax.
    """
    best_hw = sums_Khw[0]
    higher_hw, ids_hw = np.empty(out_hw.shape, np.uint8), np.empty_like(out_hw)
    out_hw[...] = 0
    for class_id in range(1, len(sums_Khw)):
        np.greater(sums_Khw[class_id], best_hw, out=higher_hw.view(np.bool_))
        np.multiply(higher_hw, out_hw.dtype.type(class_id), out=ids_hw)
        np.maximum(out_hw, ids_hw, out=out_hw)
        np.maximum(best_hw, sums_Khw[class_id], out=best_hw)
