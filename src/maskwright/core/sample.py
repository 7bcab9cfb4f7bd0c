"""`Sample`: an image and what is known of it. `Dataset`: the samples of a folder or file."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import read_image
from maskwright.core.segmentation import Segmentation

if TYPE_CHECKING:
    import pandas

Task = Literal["semantic", "instances", "boxes", "panoptic", "labels"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        if isinstance(self.image, Path):
            image = repr(str(self.image))
        else:
            image = f"{self.image.shape[0]}x{self.image.shape[1]}"
        return f"Sample({self.name!r}, image {image}, tasks {_listed(sorted(self.tasks))})"

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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
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

    def to_pandas(self) -> pandas.DataFrame:
        """A row an image: split, name, file ("" for pixels) and whether each task is labelled.

        Raises:
            ConfigError: pandas isn't installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigError(
                "to_pandas() needs pandas, which isn't installed; run pip install pandas."
            ) from None
        columns = ["split", "name", "image", *get_args(Task)]
        return pandas.DataFrame(list(self._rows()), columns=columns)

    def _rows(self) -> Iterator[tuple[str | bool, ...]]:
        for split, samples in self.splits.items():
            for one in samples:
                file = str(one.image) if isinstance(one.image, Path) else ""
                yield (split, one.name, file, *(task in one.tasks for task in get_args(Task)))

    def __repr__(self) -> str:
        images = ", ".join(f"{split} {len(own)}" for split, own in self.splits.items()) or "none"
        tasks = sorted({task for own in self.splits.values() for one in own for task in one.tasks})
        names = _listed(self.classes.names)
        return (
            f"Dataset({str(self.root)!r}, {self.format}, {len(self.classes)} classes: {names}; "
            f"images: {images}; tasks: {_listed(tasks)})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: images of each split and task, classes, at most 4 pictures."""
        from maskwright.core.notebook import set_html, thumbnail

        counts = {}
        for split, own in self.splits.items():
            labelled = Counter(task for one in own for task in one.tasks)
            counts[split] = {"images": len(own)} | {task: labelled[task] for task in get_args(Task)}
        pictures: list[tuple[str, str]] = []
        for split, own in self.splits.items():
            for one in own[: 4 - len(pictures)]:
                with contextlib.suppress(DataError):  # a faulty sample: `data check` tells
                    shown = thumbnail(one.read_image(), one.read_truth())
                    pictures.append((f"{split}/{one.name}", shown))
        return set_html(f"{self.root} ({self.format})", counts, self.classes, pictures)


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
