"""Networks of several tasks from one encoder: how their losses are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.architectures.contract import PixelNetwork
from maskwright.architectures.normalisation import IMAGENET_MEAN, IMAGENET_STD
from maskwright.losses.targets import Targets
from maskwright.losses.task_weights import TaskWeights


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """The weights of the tasks; configurations inherit it.

    Attributes:
        classes: K.
        map_weight, box_weight, label_weight: of the class map, the boxes and the labels.
        learnt_weights: whether these only begin there (`losses.TaskWeights`).
    """

    classes: int = 2
    map_weight: float = 1.0
    box_weight: float = 1.0
    label_weight: float = 1.0
    learnt_weights: bool = False


class SeveralTasks(PixelNetwork):
    """Pixels, boxes, and labels of the image where the network has them.

    Attributes:
        task_weights: of "semantic", "boxes" and "labels".
    """

    def __init__(
        self,
        config: TaskSettings,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        labels: bool = False,
    ) -> None:
        super().__init__(config, mean, std)
        weights = {"semantic": config.map_weight, "boxes": config.box_weight}
        if labels:
            weights["labels"] = config.label_weight
        self.task_weights = TaskWeights(weights, config.learnt_weights)

    def weighted(
        self, terms: Mapping[str, Mapping[str, Tensor]], targets: Targets
    ) -> dict[str, Tensor]:
        """All terms by name, and "total", the weighted sum of the tasks.

        Args:
            terms: task -> its terms; connected zeros where it isn't labelled.
            targets: of the batch.
        """
        sums = {task: torch.stack(list(own.values())).sum() for task, own in terms.items()}
        every = {name: one for own in terms.values() for name, one in own.items()}
        return {**every, "total": self.task_weights(sums, _labelled(targets))}


def _labelled(targets: Targets) -> frozenset[str]:
    """The tasks that an image of the batch is labelled for."""
    found = {"boxes": targets.objects_known_B, "labels": targets.labels_known_B}
    known = {task for task, known_B in found.items() if known_B is not None and bool(known_B.any())}
    map_BHW = targets.class_map_BHW
    if map_BHW is not None and bool((map_BHW != targets.void).any()):
        known.add("semantic")
    return frozenset(known)
