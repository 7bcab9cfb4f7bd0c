"""What the scorers of all tasks have in common.

A task is scored by a pair: a scorer that takes one image after the other (`TaskScorer`), and the
scores of what it has taken (`TaskScores`), frozen. A new task is one file with the two and one line
in `score.py`.

Legend: N images, R draws of them (how often each image was drawn).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.segmentation import Segmentation
from maskwright.metrics import Interval, PairedInterval, bootstrap

Draw = Callable[[np.ndarray], np.ndarray]
"""How often each image was drawn, int [R, N] -> the score, float64 [R]; NaN where there is none."""

Arrays = dict[str, np.ndarray]
"""Plain arrays of numbers by name, which a file can hold."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number that stands for a model.

    Attributes:
        name: such as "mIoU".
        value: 0..1; NaN where nothing is to be found.
    """

    name: str
    value: float


class TaskScores(Protocol):
    """Scores of one task over N images."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images, in the order of their places."""

    def headline(self) -> Headline:
        """The task's one number, by the field's practice."""

    def numbers(self) -> dict[str, float]:
        """Every number that stands for all images, by name; the headline's is among them."""

    def class_scores(self) -> tuple[float, ...]:
        """Of each class, what the headline is the mean of; NaN where it has none."""

    def row(self) -> dict[str, float]:
        """The columns of a training log."""

    def image_scores(self) -> np.ndarray:
        """Of each image, float64 [N] 0..1; NaN without labels. To rank, not to be averaged."""

    def draws(self) -> dict[str, Draw]:
        """Score -> what it comes to for images that were drawn several times or not at all."""

    @property
    def resamples(self) -> int:
        """How often the images of an interval are drawn anew."""

    def arrays(self) -> Arrays:
        """All that was counted; `from_arrays` reads it back without loss."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], classes: Classes) -> Self:
        """Inverse of `arrays`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""


class TaskScorer(Protocol):
    """Collects the counts of one image after the other."""

    @property
    def known(self) -> tuple[str, ...]:
        """The numbers that may be the headline: those that an interval is known of."""

    def update(
        self, name: str, truth: Segmentation, found: Segmentation, place: int | None = None
    ) -> None:
        """Add one image.

        Args:
            name: of the image.
            truth: its truth, with what the task is about.
            found: what a model has found in it, likewise.
            place: of the image among all of them, where parts are scored by several processes;
                for all images or for none, which are then counted as they come.
        """

    def merge(self, other: Self) -> None:
        """Add what another one has counted; the places tell the order of the images.

        Raises:
            ConfigError: other settings, or a place that is taken.
        """

    def scores(self) -> TaskScores | None:
        """Of the images so far, in the order of their places; None without any."""


class Images:
    """The images that a scorer has seen, by their places: their names, and what was counted."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._counts: dict[int, Any] = {}
        self._placed: bool | None = None

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, place: int | None, counts: Any = None) -> None:
        """Take an image in.

        Args:
            name: of the image.
            place: among all images, or None.
            counts: of it, given back by `counts`.

        Raises:
            ConfigError: the place is taken, or some images have one and others none.
        """
        if self._placed not in (None, place is not None):
            raise ConfigError(
                f"expected a place for every image or for none, got {place} for {name} after "
                f"{len(self)} images {'with' if self._placed else 'without'} one."
            )
        at = len(self._names) if place is None else place
        if at in self._names:
            raise ConfigError(
                f"expected each image once, got {name} in place {at} of {self._names[at]}."
            )
        self._placed = place is not None
        self._names[at], self._counts[at] = name, counts

    def merge(self, other: Images) -> None:
        """Take the images of another one in; those without places are counted on.

        Raises:
            ConfigError: a place is in both, or one has places and the other none.
        """
        if not len(other):
            return
        if len(self) and self._placed is not other._placed:
            raise ConfigError(
                f"expected places of the images in both or in neither, got {len(self)} images "
                f"{'with' if self._placed else 'without'} and {len(other)} of the other kind."
            )
        shift = 0 if other._placed else len(self)
        both = self._names.keys() & {place + shift for place in other._names}
        if both:
            raise ConfigError(
                f"expected each image once, but place {min(both)} is in both parts "
                f"({self._names[min(both)]}); each process must score its own."
            )
        self._names |= {place + shift: name for place, name in other._names.items()}
        self._counts |= {place + shift: counts for place, counts in other._counts.items()}
        self._placed = other._placed

    def names(self) -> tuple[str, ...]:
        """In the order of the places."""
        return tuple(self._names[place] for place in sorted(self._names))

    def counts(self) -> list[Any]:
        """What was counted of each, in the order of the places."""
        return [self._counts[place] for place in sorted(self._counts)]


def require_classes_to_merge(own: Classes, other: Classes) -> None:
    """Refuse to merge scores of other classes.

    Raises:
        ConfigError: their names differ.
    """
    if own.names != other.names:
        raise ConfigError(
            f"can't merge scores of {len(other)} classes into those of {len(own)}; expected the "
            "same."
        )


def pack(plain: Any) -> np.ndarray:
    """Plain data as an array of bytes (JSON), uint8 [L]."""
    return np.frombuffer(json.dumps(plain).encode(), np.uint8).copy()


def unpack(packed: np.ndarray) -> Any:
    """Inverse of `pack`."""
    return json.loads(packed.astype(np.uint8).tobytes().decode())


def intervals_of(scores: TaskScores) -> dict[str, Interval]:
    """Score -> its 95 % bootstrap interval over the images."""
    return {
        name: bootstrap(draw, len(scores.names), resamples=scores.resamples)
        for name, draw in scores.draws().items()
    }


def gains_of(first: TaskScores, second: TaskScores) -> dict[str, PairedInterval]:
    """Score -> how much better the first is, with its 95 % interval over the same images.

    Raises:
        ConfigError: other images were scored.
    """
    require_same_images(first.names, second.names)
    theirs = second.draws()
    return {
        name: paired(draw, theirs[name], len(first.names), first.resamples)
        for name, draw in first.draws().items()
        if name in theirs
    }


def paired(first: Draw, second: Draw, images: int, resamples: int) -> PairedInterval:
    """The first score minus the second on the same draws of the same images."""
    both = bootstrap(
        lambda times: first(times) - second(times),
        images,
        resamples=resamples,
        bounds=(-1.0, 1.0),
    )
    return PairedInterval(**asdict(both))


def require_same_images(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    """Refuse to compare what was scored on other images.

    Raises:
        ConfigError: names or their order differ.
    """
    if first != second:
        raise ConfigError(
            f"expected scores of the same images to compare, got {len(first)} and {len(second)} "
            f"with {len(set(first) & set(second))} in common; mend those that were left out."
        )
