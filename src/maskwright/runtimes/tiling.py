"""`Tiled`: a network on images much larger than its input, tile by tile, without seams.

A network answers at the scale that it was trained at. A large image that is shrunk to its input
loses what is small; under tiles it keeps its scale, and the class probabilities of overlapping
tiles are blended, so that no pixel hangs on a tile that ends beside it.

Legend of shape suffixes: K classes, H W the image, h w a tile.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.segmentation import Segmentation
from maskwright.runtimes.blend import Blend, Join
from maskwright.runtimes.cover import Cover, Grid
from maskwright.runtimes.pixels import ColourOrder, open_pixels
from maskwright.runtimes.predictor import Predictor, refuse_out

OVERLAP = 0.25


class Tiled:
    """A predictor that looks at an image through tiles.

    An image no larger than a tile is answered as the predictor itself answers it, set into its own
    reflection where it is smaller.

    Attributes:
        card: the model's.
        runtime: the predictor's.
        tile: (height, width) of a tile in pixels of the image.
        overlap: share of a tile's side that it has in common with the next, at least.
        gives_probabilities: whether probabilities are blended. Else, with a warning, each pixel is
            answered by the tile in which it lies deepest.
    """

    def __init__(
        self, predictor: Predictor, tile: tuple[int, int] | None = None, overlap: float = OVERLAP
    ) -> None:
        """Put tiles before a predictor.

        Args:
            predictor: of a semantic network.
            tile: (height, width) in pixels of the image; the network's input size unless given. A
                tile of another size is resized as the card says.
            overlap: 0 to below 1.

        Raises:
            ConfigError: the network answers something else than a class map, or a tile or an
                overlap out of range.
        """
        if set(predictor.card.tasks) != {"semantic"}:
            raise ConfigError(
                f"expected a semantic network to answer by tiles, got {predictor.card.name} with "
                f"the tasks {', '.join(predictor.card.tasks)}: seams would cut its objects. "
                "Predict without tiles."
            )
        self.card = predictor.card
        self.runtime = predictor.runtime
        height, width = predictor.card.resize.size if tile is None else tile
        self.tile = (height, width)
        self.overlap = overlap
        self.gives_probabilities = predictor.gives_probabilities
        self._predictor = predictor
        self.grid(self.tile)  # refuses what is out of range
        if not self.gives_probabilities:
            warnings.warn(
                f"{self.card.name} was exported without probabilities, so tiles can't be blended: "
                "each pixel is answered by the tile in which it lies deepest, and seams may show. "
                "Export it with --probabilities.",
                stacklevel=2,
            )

    def grid(self, size: tuple[int, int]) -> Grid:
        """The tiles of an image of `size` (height, width)."""
        return Grid(*(Cover.of(*side, self.overlap) for side in zip(size, self.tile)))

    def predict(
        self,
        image: Path | str | np.ndarray,
        colour_order: ColourOrder = "rgb",
        *,
        out: Segmentation | None = None,
    ) -> Segmentation:
        """What the network sees in an image, in the pixels of that image.

        Beside the image and the answer, memory is taken for the probabilities of the rows that two
        rows of tiles share: 4 bytes a class and pixel.

        Args:
            image: as of `Predictor.predict`.
            colour_order: as of `Predictor.predict`.
            out: an earlier answer for an image of this size: its class map and times are
                overwritten, and it is returned.

        Returns:
            The class map; `times` are those of `Predictor.predict`, summed over the tiles, the
            blending in "postprocess".

        Raises:
            DataError: as of `Predictor.predict`.
            ConfigError: an unknown colour order.
        """
        started = time.perf_counter()
        image_HWC = open_pixels(image, colour_order, self.card.pixels)
        order: ColourOrder = colour_order if isinstance(image, np.ndarray) else "rgb"
        size = (image_HWC.shape[0], image_HWC.shape[1])
        answer, class_map_HW = self._answer_for(size, out)
        read = time.perf_counter() - started
        times = self._fill(class_map_HW, image_HWC, order)
        times["read"] += read
        times["postprocess"] = 0.0
        times["postprocess"] = time.perf_counter() - started - sum(times.values())
        answer.times.update(times)
        return answer

    def _answer_for(
        self, size: tuple[int, int], out: Segmentation | None
    ) -> tuple[Segmentation, np.ndarray]:
        """An answer of the image's size, and its class map to fill: `out`, or a new one."""
        if out is not None:
            refuse_out(out, size, self.card)
            if out.semantic is not None:
                return out, out.semantic
        kind = np.uint8 if self.card.classes.void == 255 else np.uint16
        class_map_HW = np.empty(size, kind)
        out = Segmentation(size=size, classes=self.card.classes, semantic=class_map_HW)
        return out, class_map_HW

    def _fill(
        self, out_HW: np.ndarray, image_HWC: np.ndarray, order: ColourOrder
    ) -> dict[str, float]:
        """Answer every tile; the seconds that the predictor tells of, summed."""
        grid = self.grid((out_HW.shape[0], out_HW.shape[1]))
        blends = self.gives_probabilities and grid.tiles > 1
        seam = Blend(grid, len(self.card.classes), out_HW) if blends else Join(grid, out_HW)
        ask = self._ask_probabilities if blends else self._ask
        times = dict.fromkeys(("read", "preprocess", "network", "postprocess"), 0.0)
        for row, column in grid.places():
            tile_hwC, inside = self._whole(grid.cut(image_HWC, row, column))
            found, answer = ask(tile_hwC, order)
            seam.add(row, column, answer[..., *inside])
            for step in times:
                times[step] += found.times[step]
        return times

    def _ask(self, tile_hwC: np.ndarray, order: ColourOrder) -> tuple[Segmentation, np.ndarray]:
        found = self._predictor.predict(tile_hwC, order)
        if found.semantic is None:
            raise ModelFileError(
                f"{self.card.name}: the card promises a class map, the network gave none; export "
                "the model again."
            )
        return found, found.semantic

    def _ask_probabilities(
        self, tile_hwC: np.ndarray, order: ColourOrder
    ) -> tuple[Segmentation, np.ndarray]:
        answer = self._predictor.predict_probabilities(tile_hwC, order)
        return answer.found, answer.restored()

    def _whole(self, part_hwC: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
        """A part as large as a tile, and where in it the part lies: in its own reflection."""
        height, width = part_hwC.shape[:2]
        top, left = (self.tile[0] - height) // 2, (self.tile[1] - width) // 2
        inside = slice(top, top + height), slice(left, left + width)
        if (height, width) == self.tile:
            return part_hwC, inside
        edges = (top, self.tile[0] - height - top, left, self.tile[1] - width - left)
        if part_hwC.ndim == 3 and part_hwC.shape[2] not in (3, 4):  # OpenCV drops one, refuses five
            planes = [np.ascontiguousarray(plane_hw) for plane_hw in np.moveaxis(part_hwC, 2, 0)]
            framed = [cv2.copyMakeBorder(one, *edges, cv2.BORDER_REFLECT_101) for one in planes]
            return np.stack(framed, axis=2), inside
        part_hwC = np.ascontiguousarray(part_hwC)
        return cv2.copyMakeBorder(part_hwC, *edges, cv2.BORDER_REFLECT_101), inside
