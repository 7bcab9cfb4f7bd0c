"""The methods by name, as a command or a bundle's card asks for them.

Legend: K classes, H W height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskwright.core.card import Postprocess
from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values, nearest
from maskwright.refine.dense_crf import DenseCRF, dense_crf
from maskwright.refine.guided_filter import GuidedFilter, guided_filter
from maskwright.refine.labels import probabilities_from_labels

CONFIDENCE = 0.7
"""In a class map, where the probabilities behind it are not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One entry of `STEPS`.

    Attributes:
        settings: the dataclass of its settings.
        apply: (probabilities float [K, H, W], RGB uint8 [H, W, 3], settings) -> float32 [K, H, W].
    """

    settings: type
    apply: Callable[[np.ndarray, np.ndarray, Any], np.ndarray]


def guided_probabilities(
    probabilities_KHW: np.ndarray, image_HW3: np.ndarray, settings: GuidedFilter | None = None
) -> np.ndarray:
    """The guided filter's maps, those that left 0..1 brought back."""
    refined_KHW = guided_filter(probabilities_KHW, image_HW3, settings)
    np.maximum(refined_KHW, 0, out=refined_KHW)
    refined_KHW /= refined_KHW.sum(axis=0)
    return refined_KHW


STEPS: dict[str, Step] = {
    "dense-crf": Step(settings=DenseCRF, apply=dense_crf),
    "guided-filter": Step(settings=GuidedFilter, apply=guided_probabilities),
}
"""Name -> method."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refinement:
    """A method and its settings, ready to be applied; `Refinement.of` makes one.

    Attributes:
        name: a key of `STEPS`.
        settings: of that step's dataclass.
        confidence: in a class map, where the probabilities behind it are not known.
    """

    name: str
    settings: Any
    confidence: float = CONFIDENCE

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Any] | None = None) -> Refinement:
        """Look a method up and check what it is given.

        Args:
            name: a key of `STEPS`.
            parameters: its settings by name, and "confidence"; the defaults unless given.

        Raises:
            ConfigError: an unknown name or setting, or a value that makes no sense.
        """
        if name not in STEPS:
            raise ConfigError(f"expected a way to refine, got {name!r}; {nearest(name, STEPS)}")
        values = dict(parameters or {})
        confidence = values.pop("confidence", CONFIDENCE)
        if not isinstance(confidence, int | float) or not 0 < confidence < 1:
            raise ConfigError(f"{name}: expected confidence between 0 and 1, got {confidence!r}.")
        kind = STEPS[name].settings
        settings = kind(**config_values(kind, values, name))
        return cls(name=name, settings=settings, confidence=float(confidence))

    def to_postprocess(self) -> Postprocess:
        """What a model's card says: the name and every setting, as plain data."""
        parameters = {**asdict(self.settings), "confidence": self.confidence}
        return Postprocess(name=self.name, parameters=parameters)

    def refine(self, probabilities_KHW: np.ndarray, image_HW3: np.ndarray) -> np.ndarray:
        """Refine what a network told.

        Args:
            probabilities_KHW: float [K, H, W].
            image_HW3: RGB uint8 [H, W, 3], of the same pixels.

        Returns:
            float32 [K, H, W]; they sum to 1.

        Raises:
            DataError: sizes or types that don't fit.
            ConfigError: settings that don't fit the number of classes.
        """
        return STEPS[self.name].apply(probabilities_KHW, image_HW3, self.settings)

    def refine_labels(self, ids_HW: np.ndarray, classes: int, image_HW3: np.ndarray) -> np.ndarray:
        """The same from a class map alone: each pixel's class has the probability `confidence`.

        Args:
            ids_HW: integer class ids; others than 0..classes - 1 tell nothing.
            classes: K.
            image_HW3: RGB uint8 [H, W, 3].
        """
        unary_KHW = probabilities_from_labels(ids_HW, classes, self.confidence)
        return self.refine(unary_KHW, image_HW3)
