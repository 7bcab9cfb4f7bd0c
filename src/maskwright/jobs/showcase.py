"""Pictures for a report: the best, median and worst images with what the model made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from maskwright.core.errors import DataError
from maskwright.core.sample import Sample
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.evaluate import Evaluation
from maskwright.report import Example


def examples_of(
    evaluation: Evaluation,
    samples: Sequence[Sample],
    predict: Callable[[np.ndarray], Segmentation],
    each: int = 2,
) -> dict[str, list[Example]]:
    """Predict the best, median and worst images of an evaluation once more, to show them.

    Args:
        evaluation: of these samples.
        samples: that were scored.
        predict: the model: uint8 RGB [H, W, 3] -> what it sees.
        each: how many of each kind.

    Returns:
        {"best": [...], "median": [...], "worst": [...]}, as `report.semantic_sections` takes it.
    """
    by_name = {sample.name: sample for sample in samples}
    return {
        kind: [_example(by_name[image.name], image.miou, predict) for image in images]
        for kind, images in evaluation.examples(each).items()
    }


def _example(
    sample: Sample, score: float, predict: Callable[[np.ndarray], Segmentation]
) -> Example:
    image, truth = sample.read_image(), sample.read_truth().semantic
    prediction = predict(image).semantic
    if truth is None or prediction is None:
        raise DataError(f"{sample.name} has no class map to show; expected a semantic sample.")
    return Example(
        name=sample.name,
        image=sample.pixels.viewable(image),
        truth=truth,
        prediction=prediction,
        score=score,
    )
