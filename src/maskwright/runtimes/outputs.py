"""What a graph answers, held against what its card promises: nothing else is ever scored or drawn.

Legend: B batch (1), K slots of objects, H W the network's input, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskwright.core.card import ModelCard
from maskwright.core.errors import ModelFileError


def check_outputs(outputs: Mapping[str, np.ndarray], card: ModelCard) -> None:
    """Refuse answers of other shapes or types, and ids of classes that the card doesn't have.

    Raises:
        ModelFileError: saying what the card promises and what came.
    """
    size, classes = card.resize.size, len(card.classes)
    if "class_map" in outputs:
        class_map = _output(outputs, "class_map", (1, *size), "ui", card)
        highest = int(class_map.max(initial=0))
        if highest >= classes and highest != card.classes.void:
            raise _broken(card, f"class ids of 0..{classes - 1}", f"{highest} in its class map")
        if class_map.dtype.kind == "i" and class_map.min(initial=0) < 0:
            raise _broken(card, f"class ids of 0..{classes - 1}", "ids below 0 in its class map")
    if "boxes" in outputs:
        boxes = _output(outputs, "boxes", (1, None, 4), "f", card)
        slots = boxes.shape[1]
        _output(outputs, "scores", (1, slots), "f", card)
        ids = _output(outputs, "class_ids", (1, slots), "uif", card)
        used = ids[outputs["scores"] > 0]
        if used.size and not (used.min() >= 0 and used.max() < classes):
            raise _broken(
                card, f"class ids of 0..{classes - 1}", f"{used.min()}..{used.max()} of objects"
            )
        if "masks" in outputs:
            _output(outputs, "masks", (1, slots, None, None), "uifb", card)
    if "labels" in outputs:
        _output(outputs, "labels", (1, classes), "f", card)


def _output(
    outputs: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int | None, ...],
    kinds: str,
    card: ModelCard,
) -> np.ndarray:
    """One of them, of this shape (None: any) and of one of numpy's kinds of types."""
    told = "x".join("any" if side is None else str(side) for side in shape)
    if name not in outputs:
        raise _broken(card, f"an output {name} [{told}]", f"only {', '.join(outputs) or 'none'}")
    value = outputs[name]
    fits = len(value.shape) == len(shape) and all(
        wanted in (None, side) for wanted, side in zip(shape, value.shape)
    )
    if not fits or value.dtype.kind not in kinds:
        found = "x".join(map(str, value.shape))
        raise _broken(card, f"an output {name} [{told}]", f"{value.dtype} [{found}]")
    return value


def _broken(card: ModelCard, promised: str, found: str) -> ModelFileError:
    return ModelFileError(
        f"{card.name}: the card promises {promised}, the graph gives {found}; export the model "
        "again."
    )
