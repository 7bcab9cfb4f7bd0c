"""What a loss of pixels is: a function, and the small configuration that calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from maskwright.losses.targets import Need, Targets

PixelLoss = Callable[[Tensor, Targets], Tensor]
"""(logits_BKHW, targets) -> scalar; the logits have the size of targets.class_map_BHW."""


@dataclass(frozen=True, kw_only=True)
class LossConfig(ABC):
    """A loss with its settings; a subclass's attributes are what a command may set.

    Attributes:
        needs: what the loader is to make of the truth for it.
    """

    needs: ClassVar[tuple[Need, ...]] = ()

    @abstractmethod
    def __call__(
        self, logits_BKHW: Tensor, targets: Targets, weights_K: Tensor | None = None
    ) -> Tensor:
        """A scalar, connected to the logits even where no pixel is labelled.

        Sums over pixels go over all processes (`sum_over_processes`), in every call.

        Args:
            logits_BKHW: of the truth's size.
            targets: with the class map, and what was needed.
            weights_K: a weight a class, for those that use them.
        """
