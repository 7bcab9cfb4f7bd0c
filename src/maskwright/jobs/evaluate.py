"""Score predictions over a data set: one exact confusion matrix at the images' own resolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.inspect import Progress
from maskwright.metrics.semantic import SemanticScores, confusion_matrix, semantic_scores


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScore:
    """How well one image was segmented; to rank images, not to be averaged.

    Attributes:
        name: the sample's.
        miou: mean IoU over the classes in its truth or prediction, 0..1; NaN without labels.
        pixel_accuracy: share of its labelled pixels that are right; NaN without labels.
    """

    name: str
    miou: float
    pixel_accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Scores of a model on labelled images.

    Attributes:
        classes: what was told apart.
        matrix: int64 [K, K + 1], pixels; row = truth, column = prediction, the last one no class.
        scores: of the summed matrix.
        images: one an image, in the order of the samples.
        skipped: samples without semantic truth, which were left out.
    """

    classes: Classes
    matrix: np.ndarray
    scores: SemanticScores
    images: tuple[ImageScore, ...]
    skipped: int = 0

    def ranked(self) -> tuple[ImageScore, ...]:
        """The labelled images from the best to the worst mIoU; equal ones by name."""
        labelled = [image for image in self.images if not math.isnan(image.miou)]
        return tuple(sorted(labelled, key=lambda image: (-image.miou, image.name)))

    def examples(self, count: int = 1) -> dict[str, tuple[ImageScore, ...]]:
        """The `count` "best", "median" and "worst" images; fewer where there aren't as many.

        No image stands in two of them.
        """
        ranked = self.ranked()
        count = min(count, max(1, len(ranked) // 3))
        middle = max(count, (len(ranked) - count) // 2)
        worst = max(middle + count, len(ranked) - count)
        return {
            "best": ranked[:count],
            "median": ranked[middle : middle + count],
            "worst": ranked[worst:][::-1],
        }

    def row(self) -> dict[str, float]:
        """The main figures, by the columns of a run's metrics.csv."""
        return {"miou": self.scores.miou, "pixel_accuracy": self.scores.pixel_accuracy}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN becomes None."""
        return {
            "classes": self.classes.to_dict(),
            "scores": self.scores.to_dict(),
            "confusion": self.matrix.tolist(),
            "images": [
                {
                    "name": image.name,
                    "miou": None if math.isnan(image.miou) else image.miou,
                    "pixel_accuracy": None
                    if math.isnan(image.pixel_accuracy)
                    else image.pixel_accuracy,
                }
                for image in self.images
            ],
            "skipped": self.skipped,
        }


def evaluate(
    samples: Sequence[Sample],
    predict: Callable[[np.ndarray], Segmentation],
    classes: Classes,
    progress: Progress | None = None,
) -> Evaluation:
    """Predict every sample and count each pixel against its truth.

    Args:
        samples: those without semantic truth are skipped and counted.
        predict: image uint8 RGB [H, W, 3] -> what is in it, at the image's size.
        classes: of the truth; the predictions must have the same names in the same order.
        progress: called after each image.

    Raises:
        DataError: no sample has semantic truth, or a file can't be read.
        ConfigError: the model has other classes than the data, or doesn't predict class maps.
    """
    labelled = [sample for sample in samples if "semantic" in sample.tasks]
    if not labelled:
        raise DataError(
            f"none of the {len(samples)} samples has a class map; expected semantic truth. Read "
            "the set as index_masks, or choose another split."
        )
    total = np.zeros((len(classes), len(classes) + 1), np.int64)
    images = []
    for done, sample in enumerate(labelled, start=1):
        matrix = image_matrix(sample, predict, classes)
        total += matrix
        own = semantic_scores(matrix, classes.names)
        images.append(
            ImageScore(name=sample.name, miou=own.miou, pixel_accuracy=own.pixel_accuracy)
        )
        if progress is not None:
            progress(done, len(labelled))
    return Evaluation(
        classes=classes,
        matrix=total,
        scores=semantic_scores(total, classes.names),
        images=tuple(images),
        skipped=len(samples) - len(labelled),
    )


def require_same_classes(model: Classes, data: Classes) -> None:
    """Refuse a model whose classes aren't those of the data.

    Raises:
        ConfigError: names or their order differ; the text says which.
    """
    if model.names == data.names:
        return
    lacking = [name for name in data.names if name not in model.names]
    beyond = [name for name in model.names if name not in data.names]
    how = "the same classes in another order"
    if lacking or beyond:
        how = f"without {lacking or 'none'} of the data's, and {beyond or 'none'} beyond them"
    raise ConfigError(
        f"the model's classes are {', '.join(model.names)}, but the data's are "
        f"{', '.join(data.names)}: {how}. Evaluate on the data it was trained for, or train it on "
        "these classes."
    )


def image_matrix(
    sample: Sample, predict: Callable[[np.ndarray], Segmentation], classes: Classes
) -> np.ndarray:
    """One image's confusion matrix, int64 [K, K + 1], as `metrics.confusion_matrix` counts it.

    Args:
        sample: with semantic truth.
        predict: image uint8 RGB [H, W, 3] -> what is in it, at the image's size.
        classes: of the truth.

    Raises:
        DataError: there is no class map in the truth, or a file can't be read.
        ConfigError: the model has other classes, or doesn't predict class maps.
    """
    truth = sample.read_truth()
    if truth.semantic is None:
        raise DataError(f"{sample.name} says that it has a class map, but its truth has none.")
    found = predict(sample.read_image())
    require_same_classes(found.classes, classes)
    if found.semantic is None:
        raise ConfigError(
            f"the model gave no class map for {sample.name}; expected one that predicts semantic."
        )
    return confusion_matrix(truth.semantic, found.semantic, len(classes), classes.void)
