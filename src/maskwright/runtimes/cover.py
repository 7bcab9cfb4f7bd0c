"""`Grid`: an image under overlapping tiles: where they start, what they weigh.

Rows and columns are covered alike and apart: a tile's weight at a pixel is the product of the two,
so that weights which sum to 1 along both sides sum to 1 over the image.

Legend of shape suffixes: N tiles, t pixels of a tile's side, H W the image, h w a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from maskwright.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """One side of an image and its tiles.

    Attributes:
        length: pixels of the side.
        tile: pixels of each tile, at most `length`.
        starts: first pixel of each tile, rising: from 0 to `length - tile`, as evenly as pixels
            allow, so that no tile leaves the image and none overlaps less than was asked for.
    """

    length: int
    tile: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, length: int, tile: int, overlap: float) -> Cover:
        """Cover a side with as few tiles as the overlap allows.

        Args:
            length: pixels of the side.
            tile: pixels of a tile; a shorter side is covered by one tile of its own length.
            overlap: share of a tile, 0 to below 1, that it has in common with the next, at least.

        Raises:
            ConfigError: an overlap out of range, or less than a pixel to cover or to cover with.
        """
        if not 0 <= overlap < 1:
            raise ConfigError(
                "expected an overlap as a share of a tile's side, from 0 to below 1, got "
                f"{overlap}; 0.25 suits most."
            )
        if length < 1 or tile < 1:
            raise ConfigError(f"expected at least one pixel a side, got {length} under {tile}.")
        tile = min(tile, length)
        step = max(1, round(tile * (1 - overlap)))
        gaps = -(-(length - tile) // step)
        starts = tuple(number * (length - tile) // max(1, gaps) for number in range(gaps + 1))
        return cls(length=length, tile=tile, starts=starts)

    def next_start(self, number: int) -> int:
        """Where the tile after tile `number` starts; the side's end after the last."""
        return self.starts[number + 1] if number + 1 < len(self.starts) else self.length

    def carried(self, number: int) -> int:
        """How many pixels tile `number` shares with the next."""
        return self.starts[number] + self.tile - self.next_start(number)

    def most_carried(self) -> int:
        """The largest of them."""
        return max(self.carried(number) for number in range(len(self.starts)))

    def depths(self) -> np.ndarray:
        """How far each pixel lies inside each tile, float64 [N, t], in pixels from its centre.

        Only edges inside the image count: at the image's border a tile knows as much as any.
        """
        rising = np.arange(self.tile) + 0.5
        depths_Nt = np.empty((len(self.starts), self.tile))
        for depth_t, start in zip(depths_Nt, self.starts):
            left = rising if start > 0 else np.full(self.tile, float(self.tile))
            right = rising[::-1] if start + self.tile < self.length else float(self.tile)
            np.minimum(left, right, out=depth_t)
        return depths_Nt

    def weights(self) -> np.ndarray:
        """Each tile's share in each of its pixels, float32 [N, t]: tents that sum to 1 everywhere.

        A share falls to nearly zero at an edge inside the image, in a straight line where two
        tiles overlap.
        """
        depths_Nt = self.depths()
        total = np.zeros(self.length)
        for depth_t, start in zip(depths_Nt, self.starts):
            total[start : start + self.tile] += depth_t
        for depth_t, start in zip(depths_Nt, self.starts):
            depth_t /= total[start : start + self.tile]
        return depths_Nt.astype(np.float32)

    def owned(self) -> list[slice]:
        """For each tile, the pixels of the side that lie deepest in it; together all of them."""
        deepest, owner = np.zeros(self.length), np.zeros(self.length, np.int64)
        for number, (depth_t, start) in enumerate(zip(self.depths(), self.starts)):
            place = slice(start, start + self.tile)
            better = depth_t > deepest[place]
            deepest[place][better] = depth_t[better]
            owner[place][better] = number
        edges = np.searchsorted(owner, np.arange(len(self.starts) + 1)).tolist()
        return [slice(first, end) for first, end in pairwise(edges)]


class Grid(NamedTuple):
    """Both sides of an image and their tiles."""

    rows: Cover
    columns: Cover

    @property
    def tiles(self) -> int:
        """How many there are."""
        return len(self.rows.starts) * len(self.columns.starts)

    def places(self) -> Iterator[tuple[int, int]]:
        """(row, column) of every tile, row by row, from left to right."""
        return product(range(len(self.rows.starts)), range(len(self.columns.starts)))

    def cut(self, image_HWC: np.ndarray, row: int, column: int) -> np.ndarray:
        """A tile's pixels [h, w, ...]; a view."""
        top, left = self.rows.starts[row], self.columns.starts[column]
        return image_HWC[top : top + self.rows.tile, left : left + self.columns.tile]
