"""The one scorer: what a model has found against the truth, every task that both hold.

Training, resumed runs, export, comparisons, `evaluate` and all pages score by this and nothing
else: `Scorer` takes images, `Scores` is what it comes to, `score` does it for a labelled set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import DataError
from maskwright.core.sample import Sample, Task
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.inspect import Progress
from maskwright.jobs.scorer import Scorer, told
from maskwright.jobs.scores import Scores
from maskwright.metrics import protocol_of
from maskwright.runtimes import Predictor

Find = Callable[[Sample, tuple[int, int]], Segmentation]
"""(sample, its (height, width)) -> what was found in it, such as `Predictions.read`."""


def score(
    samples: Sequence[Sample],
    find: Find,
    classes: Classes,
    *,
    tasks: frozenset[Task],
    protocol: str = "coco",
    detail: bool = True,
    headline: str = "",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Compare each image's truth with what was found in it.

    Args:
        samples: of the labelled set; those without any of the tasks are skipped and counted.
        find: the answer for one of them.
        classes: of the labelled set; the answers must have the same.
        tasks: that the answers hold; those that the truth holds too are scored.
        protocol: for objects, a key of `metrics.PROTOCOLS`.
        detail: boundaries and thin parts too.
        headline: the number that stands for the model; "": the mean of its tasks' headlines.
        skip_bad: leave images out whose truth or answer is at fault, and count them.
        progress: called after each image.

    Raises:
        DataError: nothing that was found is labelled; a file is at fault, without `skip_bad`.
        ConfigError: the answers have other classes or lack a task; an unknown protocol or headline.
    """
    protocol_of(protocol)
    common = common_tasks(samples, tasks)
    scorer = Scorer(classes, common, protocol=protocol, detail=detail, headline=headline)
    labelled = labelled_for(samples, common)
    bad: list[tuple[str, str]] = []
    for done, sample in enumerate(labelled, start=1):
        try:
            score_sample(scorer, sample, find)
        except DataError as error:
            if not skip_bad:
                raise
            bad.append((sample.name, str(error)))
        if progress is not None:
            progress(done, len(labelled))
    if len(bad) == len(labelled):
        raise DataError(f"none of the {len(bad)} images could be scored; the first: {bad[0][1]}")
    return scorer.scores(skipped=len(samples) - len(labelled), bad=bad)


def score_sample(scorer: Scorer, sample: Sample, find: Find, place: int | None = None) -> None:
    """Add one sample to a scorer.

    Args:
        scorer: of the tasks that are scored.
        sample: labelled for one of them.
        find: the answer.
        place: of the sample among all.
    """
    truth = sample.read_truth()
    found = find(sample, truth.size)
    scorer.update(sample.name, truth, found, tasks=scored_tasks(sample, scorer.tasks), place=place)


def common_tasks(samples: Sequence[Sample], tasks: frozenset[Task]) -> frozenset[Task]:
    """The tasks that a model answers and some sample is labelled for.

    Raises:
        DataError: there is none.
    """
    labelled = frozenset(task for sample in samples for task in sample.tasks)
    common = labelled & tasks
    if not common:
        raise DataError(
            f"the {len(samples)} images are labelled with {told(labelled)}, but the predictions "
            f"hold {told(tasks)}: nothing can be compared. Give predictions of the same kind, or "
            "convert one of the two."
        )
    return common


def labelled_for(samples: Sequence[Sample], tasks: frozenset[Task]) -> tuple[Sample, ...]:
    """Those that are labelled for one of the tasks."""
    return tuple(sample for sample in samples if scored_tasks(sample, tasks))


def scored_tasks(sample: Sample, tasks: frozenset[Task]) -> frozenset[Task]:
    """Those that one sample is labelled for: where masks are scored, boxes alone don't count."""
    own = sample.tasks & tasks
    return own - {"boxes"} if "instances" in tasks and "instances" not in own else own


def find_by(predict: Callable[[np.ndarray], Segmentation]) -> Find:
    """The answers of a function that sees the image itself."""

    def find(sample: Sample, _: tuple[int, int]) -> Segmentation:
        return predict(sample.read_image())

    return find


def answers_of(predictor: Predictor) -> Find:
    """All that a model answers, its unsure objects and labels too: average precision ranks them.

    Images are read as what the model's card says that they are.
    """

    def find(sample: Sample, _: tuple[int, int]) -> Segmentation:
        image = replace(sample, pixels=predictor.card.pixels).read_image()
        return predictor.predict(image, score_threshold=0.0)

    return find


def tasks_of(tasks: Sequence[str]) -> frozenset[Task]:
    """The tasks on a model's card as what can be scored: objects with masks have boxes, too."""
    found = frozenset(tasks)
    return found | {"boxes"} if "instances" in found else found  # type: ignore[return-value]
