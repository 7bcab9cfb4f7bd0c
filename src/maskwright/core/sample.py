"""`Sample`: an image and what is known of it. `Dataset`: the samples of a folder or file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.image import read_image
from maskwright.core.segmentation import Segmentation

Task = Literal["semantic", "instances", "boxes", "panoptic", "labels"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """An image and its truth, both read late.

    Attributes:
        name: unique within its split; a relative path without suffix, "/" between folders.
        image: where the image lies, or the image itself: uint8 RGB [H, W, 3].
        truth_of: the truth, or a picklable function that reads it.
        tasks: what is labelled here; a set may hold samples that lack a task.
    """

    name: str
    image: Path | np.ndarray
    truth_of: Segmentation | Callable[[], Segmentation]
    tasks: frozenset[Task]

    def read_image(self) -> np.ndarray:
        """The image as uint8 RGB [H, W, 3], EXIF orientation applied.

        Raises:
            DataError: the file is missing, truncated or no image.
        """
        return self.image if isinstance(self.image, np.ndarray) else read_image(self.image)

    def read_truth(self) -> Segmentation:
        """The truth, in the pixels of `read_image()`.

        Raises:
            DataError: the annotation is missing, damaged or does not fit its image.
        """
        return self.truth_of if isinstance(self.truth_of, Segmentation) else self.truth_of()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images in their splits ("train", "val", "test", or "all" where there are none).

    Attributes:
        root: the folder or file it was read from.
        format: the key in `formats.FORMATS` that read it.
        classes: names and colours; ignored source classes are void and not among them.
        splits: split name -> samples, sorted by name.
        notes: what the reader had to decide or guess, one sentence each, to be shown to the user.
    """

    root: Path
    format: str
    classes: Classes
    splits: Mapping[str, tuple[Sample, ...]]
    notes: tuple[str, ...] = field(default=())

    def split(self, *wanted: str) -> tuple[Sample, ...]:
        """The samples of the first split that exists among `wanted`.

        Raises:
            DataError: none of them exists.
        """
        for name in wanted:
            if name in self.splits:
                return self.splits[name]
        raise DataError(
            f"{self.root} has no split {' or '.join(wanted)}; it has {', '.join(self.splits)}."
        )
