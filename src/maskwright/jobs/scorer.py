"""`Scorer`: takes images one after the other, all tasks of a model, and comes to `Scores`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.sample import Task
from maskwright.core.segmentation import Segmentation
from maskwright.jobs.score_labels import LabelScorer
from maskwright.jobs.score_maps import DETAILS, MapScorer
from maskwright.jobs.score_objects import ObjectScorer
from maskwright.jobs.score_panoptic import SegmentScorer
from maskwright.jobs.score_task import Images, TaskScorer
from maskwright.jobs.scores import Scores, no_headline
from maskwright.metrics import protocol_of

_LABELLED: dict[str, tuple[frozenset[Task], str]] = {
    "maps": (frozenset({"semantic"}), "semantic"),
    "objects": (frozenset({"instances", "boxes"}), "instances"),
    "panoptic": (frozenset({"panoptic"}), "panoptic"),
    "labels": (frozenset({"labels"}), "labels"),
}
"""Kind of scores -> the tasks that it is of, and the part of a `Segmentation` that it compares."""


class Scorer:
    """Collects one image after the other, all tasks of a model.

    Args:
        classes: what is told apart.
        tasks: to be scored: those that truth and answers have in common.
        protocol: for objects, a key of `metrics.PROTOCOLS`.
        detail: boundaries and thin parts too. Without them scoring costs a fraction, and the
            numbers that are left are the same.
        headline: the number that stands for the model, such as "mIoU"; "": the mean of the tasks'
            headlines.

    Raises:
        ConfigError: an unknown protocol or headline, or no task.
    """

    def __init__(
        self,
        classes: Classes,
        tasks: frozenset[Task],
        *,
        protocol: str = "coco",
        detail: bool = True,
        headline: str = "",
    ) -> None:
        protocol_of(protocol)  # an unknown name is told even where there are no objects
        detail = detail or headline in (*DETAILS, "AP boundary")
        self.classes, self.tasks, self.headline = classes, tasks, headline
        makers: dict[str, Callable[[], TaskScorer]] = {
            "maps": lambda: MapScorer(classes, detail=detail),
            "objects": lambda: ObjectScorer(
                classes, protocol, masks="instances" in tasks, detail=detail
            ),
            "panoptic": lambda: SegmentScorer(classes),
            "labels": lambda: LabelScorer(classes),
        }
        self._parts = {kind: make() for kind, make in makers.items() if _LABELLED[kind][0] & tasks}
        if not self._parts:
            raise ConfigError(f"expected tasks to score, got {told(tasks)}.")
        known = [name for part in self._parts.values() for name in part.known]
        if headline and headline not in known:
            raise no_headline(headline, known)
        self._images = Images()

    def update(
        self,
        name: str,
        truth: Segmentation,
        found: Segmentation,
        *,
        tasks: frozenset[Task] | None = None,
        place: int | None = None,
    ) -> None:
        """Add one image.

        Args:
            name: of the image.
            truth: of it.
            found: what the model answers.
            tasks: that the image is labelled for; None: those whose part the truth holds.
            place: of the image among all, where several processes score a part each.

        Raises:
            DataError: sizes differ, or the truth lacks what it should be labelled with.
            ConfigError: other classes, or the model's answer lacks a task.
        """
        require_same_classes(found.classes, self.classes)
        if found.size != truth.size:
            raise DataError(
                f"{name}: expected a prediction of {truth.size} (height, width) as its truth, got "
                f"{found.size}."
            )
        kinds = [kind for kind in self._parts if self._is_labelled(kind, truth, tasks)]
        for kind in kinds:
            _require_part(name, kind, truth, found)
        for kind in kinds:
            self._parts[kind].update(name, truth, found, place)
        self._images.add(name, place)

    def merge(self, other: Scorer) -> None:
        """Add what another one has counted, such as another process's share of the images.

        Raises:
            ConfigError: other settings, or a place that is in both.
        """
        if other._parts.keys() != self._parts.keys():
            raise ConfigError(
                f"can't merge scores of {', '.join(other._parts)} into those of "
                f"{', '.join(self._parts)}; expected the same tasks."
            )
        self._images.merge(other._images)
        for kind, part in self._parts.items():
            part.merge(other._parts[kind])

    def scores(self, *, skipped: int = 0, bad: Sequence[tuple[str, str]] = ()) -> Scores:
        """Of the images so far, in the order of their places.

        Args:
            skipped: images that are not labelled for any of the tasks.
            bad: (image, why) of those that are at fault.
        """
        parts = {kind: part.scores() for kind, part in self._parts.items()}
        return Scores(
            classes=self.classes,
            names=self._images.names(),
            wanted=self.headline,
            skipped=skipped,
            bad=tuple(bad),
            **parts,  # type: ignore[arg-type]
        )

    def _is_labelled(self, kind: str, truth: Segmentation, tasks: frozenset[Task] | None) -> bool:
        of_kind, part = _LABELLED[kind]
        if tasks is None:
            return getattr(truth, part) is not None
        return bool(of_kind & tasks & self.tasks)


def _require_part(name: str, kind: str, truth: Segmentation, found: Segmentation) -> None:
    part = _LABELLED[kind][1]
    told = {"semantic": "class map", "instances": "objects", "panoptic": "panoptic segments"}
    what = told.get(part, "labels")
    if getattr(truth, part) is None:
        raise DataError(f"{name} says that it is labelled with {what}, but its truth has none.")
    if getattr(found, part) is None:
        raise ConfigError(
            f"the model gave no {what} for {name}; expected one that predicts {part}."
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


def told(tasks: frozenset[Task]) -> str:
    """The tasks in words."""
    return ", ".join(sorted(tasks)) or "nothing"
