"""Networks of several tasks from one encoder: how their losses are added, and what they answer.

Legend: B images, 3 colours (RGB), K classes, H W of the input, h w of a map.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.architectures.contract import PixelNetwork, resize_logits, softmax_of
from maskwright.architectures.normalisation import IMAGENET_MEAN, IMAGENET_STD
from maskwright.core.errors import ConfigError
from maskwright.losses.cross_entropy import at_least_float32
from maskwright.losses.targets import Targets
from maskwright.losses.task_weights import TaskWeights

UNTOLD = -1e4
"""Logit of a class that a network doesn't tell of pixels: finite, and of no probability."""


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
        self.classes = config.classes
        weights = {"semantic": config.map_weight, "boxes": config.box_weight}
        if labels:
            weights["labels"] = config.label_weight
        self.task_weights = TaskWeights(weights, config.learnt_weights)

    @abstractmethod
    def answer(self, images_B3HW: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """uint8 RGB -> what `deploy` gives, and the logits of the pixels [B, K or less, H, W]."""

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> class_map; boxes, scores, class_ids of objects; labels where it has them."""
        return self.answer(images_B3HW)[0]

    def deploy_probabilities(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """`deploy` with "probabilities", float32 BKHW."""
        answer, logits_BKHW = self.answer(images_B3HW)
        untold = (0, 0, 0, 0, 0, self.classes - logits_BKHW.shape[1])
        return {**answer, "probabilities": F.pad(softmax_of(logits_BKHW.float()), untold)}

    def pixel_term(self, logits_BKhw: Tensor, targets: Targets) -> dict[str, Tensor]:
        """ "pixels": the configured loss; pixels of classes that aren't told are void.

        Args:
            logits_BKhw: of the first so many classes of the targets.
            targets: of the batch.

        Raises:
            ConfigError: logits of more classes than there are.
        """
        told = logits_BKhw.shape[1]
        if told > self.classes:
            raise ConfigError(
                f"expected class maps of the {self.classes} classes at most, got {told}."
            )
        known_BHW = targets.class_map_BHW
        logits_BKhw = at_least_float32(logits_BKhw)
        if known_BHW is not None:
            logits_BKhw = resize_logits(logits_BKhw, known_BHW.shape[-2:])
            if told < self.classes:
                void_BHW = known_BHW.masked_fill(known_BHW >= told, targets.void)
                targets = replace(targets, class_map_BHW=void_BHW)
        every_BKhw = F.pad(logits_BKhw, (0, 0, 0, 0, 0, self.classes - told), value=UNTOLD)
        return {"pixels": self.pixel_loss(every_BKhw, targets)}

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
