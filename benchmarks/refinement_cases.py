"""Images with what a network told of them, to refine again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.runtimes import Predictor, ProbabilisticAnswer

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One image, what the network told, and the truth.

    Attributes:
        name: of the image.
        photo_HW3: RGB uint8, as it was read.
        frame_hw3: the same in the network's frame.
        answer: of the network.
        truth: in the photo's pixels.
    """

    name: str
    photo_HW3: np.ndarray
    frame_hw3: np.ndarray
    answer: ProbabilisticAnswer
    truth: Segmentation

    @property
    def found_map(self) -> np.ndarray:
        """The network's class ids in the photo's pixels."""
        return _class_map(self.name, self.answer.found)

    @property
    def truth_map(self) -> np.ndarray:
        """The true class ids."""
        return _class_map(self.name, self.truth)


def cases_of(predictor: Predictor, samples: Sequence[Sample]) -> Iterator[Case]:
    """The network's answers, one image after the other.

    Raises:
        ConfigError: it gives no probabilities.
        DataError: a file can't be read.
    """
    for sample in samples:
        photo_HW3 = sample.read_image()
        answer = predictor.predict_probabilities(photo_HW3)
        (top, left), (height, width) = answer.geometry.offset, answer.geometry.content
        frame = predictor.card.resize.apply(photo_HW3)[0]
        yield Case(
            name=sample.name,
            photo_HW3=photo_HW3,
            frame_hw3=np.ascontiguousarray(frame[top : top + height, left : left + width]),
            answer=answer,
            truth=sample.read_truth(),
        )


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """At most `count` of them at even distances: neighbours are often frames of one scene."""
    if len(items) <= count:
        return list(items)
    return [items[at * len(items) // count] for at in range(count)]


def _class_map(name: str, segmentation: Segmentation) -> np.ndarray:
    if segmentation.semantic is None:
        raise ConfigError(f"expected class maps of {name}, of its truth and of the network.")
    return segmentation.semantic
