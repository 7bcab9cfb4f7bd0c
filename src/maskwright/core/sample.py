"""`Sample`: an image and what is known of it. `Dataset`: the samples of a folder or file."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.pixels import RGB, Pixels, read_as
from maskwright.core.segmentation import Segmentation
from maskwright.core.tables import find_pandas

if TYPE_CHECKING:
    import pandas

Task = Literal["semantic", "instances", "boxes", "panoptic", "labels"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sample:
    """An image and its truth, both read late.

    Attributes:
        name: unique within its split; a relative path without suffix, "/" between folders.
        image: where the image lies, or the image itself: uint8 RGB [H, W, 3], or as `pixels` tells.
        truth_of: the truth, or a picklable function that reads it.
        tasks: what is labelled here; a set may hold samples that lack a task.
        pixels: what the image is read as.
    """

    name: str
    image: Path | np.ndarray
    truth_of: Segmentation | Callable[[], Segmentation]
    tasks: frozenset[Task]
    pixels: Pixels = RGB

    def __repr__(self) -> str:
        if isinstance(self.image, Path):
            image = repr(str(self.image))
        else:
            image = f"{self.image.shape[0]}x{self.image.shape[1]}"
        return f"Sample({self.name!r}, image {image}, tasks {_listed(sorted(self.tasks))})"

    def read_image(self) -> np.ndarray:
        """The image, EXIF orientation applied: uint8 RGB [H, W, 3], or as `pixels` tells.

        Raises:
            DataError: the file is missing, truncated, no image, or one of other channels or bits.
        """
        if not isinstance(self.image, np.ndarray):
            return read_as(self.image, self.pixels)
        return self.image if self.pixels == RGB else self.pixels.check(self.image, self.name)

    def read_picture(self) -> np.ndarray:
        """The image to be looked at: uint8 RGB [H, W, 3], whatever its channels and bits.

        Raises:
            DataError: as `read_image`.
        """
        return self.pixels.viewable(self.read_image())

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
        own_ids: id in the set's own files -> name of the class, also of those that are ignored
            ("" where an id has none): so ids in anybody's answers mean what they mean there. None:
            0, 1, 2 ... as `classes`.
        about: split name -> what the set's own file tells beyond images, objects and names of
            classes, as plain JSON data: COCO's "info", "licenses" and whole "categories", the
            other keys of a data.yaml. Formats of that family write it again.
        ids: whether the files number images and objects in a way that tells something: not just
            1, 2, 3 ... as any writer does.
        left_out: what the reader found beside what it can hold, a phrase each -> how many.
        pixels: what the images are, as every sample tells it, too.
        notes: what the reader had to decide or guess, one sentence each, to be shown to the user.
    """

    root: Path
    format: str
    classes: Classes
    splits: Mapping[str, tuple[Sample, ...]]
    notes: tuple[str, ...] = field(default=())
    pixels: Pixels = RGB
    own_ids: Mapping[int, str] | None = None
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ids: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

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
        columns = ["split", "name", "image", *get_args(Task)]
        table: pandas.DataFrame = find_pandas().DataFrame(list(self._rows()), columns=columns)
        return table

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
                    shown = thumbnail(one.read_picture(), one.read_truth())
                    pictures.append((f"{split}/{one.name}", shown))
        return set_html(f"{self.root} ({self.format})", counts, self.classes, pictures)


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def with_pixels(dataset: Dataset, pixels: Pixels) -> Dataset:
    """The same set, its images read as what they are told to be.

    Args:
        dataset: read from anywhere; no image is opened.
        pixels: such as `Pixels(channels=4, highest=65535)` for RGB-NIR of 16 bits.
    """
    splits = {
        name: tuple(replace(sample, pixels=pixels) for sample in samples)
        for name, samples in dataset.splits.items()
    }
    return replace(dataset, splits=splits, pixels=pixels)
