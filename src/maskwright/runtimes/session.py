"""`Session`: what a runtime gives back, and the check that graph and card belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskwright.core.card import ModelCard
from maskwright.core.errors import ModelFileError
from maskwright.core.machine import thread_count as thread_count
from maskwright.runtimes.predictor import Run

INPUT = "images"
OUTPUTS = frozenset(
    {"class_map", "probabilities", "boxes", "scores", "class_ids", "masks", "labels"}
)
NEEDED = {
    "semantic": {"class_map"},
    "instances": {"boxes", "scores", "class_ids", "masks"},
    "boxes": {"boxes", "scores", "class_ids"},
    "labels": {"labels"},
}
"""Task -> the outputs that answer it."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A network in a runtime.

    Attributes:
        run: the network.
        inputs: name -> shape, as the graph declares them.
        outputs: names.
        facts: the runtime's name and version, and what it was told and read back: threads,
            precision.
    """

    run: Run
    inputs: Mapping[str, tuple[Any, ...]]
    outputs: tuple[str, ...]
    facts: Mapping[str, Any]


def check_session(session: Session, card: ModelCard, source: str) -> None:
    """Refuse a graph that does not answer what its card promises.

    Raises:
        ModelFileError: another input, or outputs that the card's tasks need are missing.
    """
    expected = {INPUT: (1, 3, *card.resize.size)}
    if dict(session.inputs) != expected:
        raise ModelFileError(
            f"{source}: the card promises the input {expected}, the graph takes "
            f"{dict(session.inputs)}; export the model again."
        )
    needed = {name for task in card.tasks for name in NEEDED.get(task, ())}
    if not needed <= set(session.outputs) <= OUTPUTS:
        raise ModelFileError(
            f"{source}: the card's tasks {', '.join(card.tasks)} need the outputs "
            f"{sorted(needed)}, the graph has {sorted(session.outputs)}; export the model again."
        )
