"""What a path means as a model, and the model behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.core.errors import MaskwrightError
from maskwright.core.files import find_checkpoint
from maskwright.core.sample import Task
from maskwright.core.telling import Note, no_note
from maskwright.jobs import tasks_of
from maskwright.refine import Refinement
from maskwright.runtimes import BUNDLED, Predictor, bundled, load, read_bundle

NONE = "none"
"""As a way to refine: switches off what a bundle's card asks for."""


def is_model(path: Path) -> bool:
    """Whether a path means a model: a bundle, a checkpoint, a run folder, a bundle's name."""
    return (
        path.suffix.lower() in {".mask", ".safetensors"}
        or (path / "best.safetensors").exists()
        or (str(path) in BUNDLED and not path.exists())
    )


def open_predictor(
    model: Path | str, threads: int | None = None, runtime: str = "auto"
) -> Predictor:
    """A bundle without torch, or a checkpoint (or run folder) with it.

    Args:
        model: its path, or the name of a bundle that ships.
        threads: all cores unless given.
        runtime: of a bundle: auto, onnxruntime or openvino.

    Raises:
        ModelFileError: neither, damaged, or too new.
    """
    path = find_checkpoint(Path(model))
    if path.suffix == ".safetensors":
        from maskwright.training import checkpoint_predictor

        return checkpoint_predictor(path, threads)
    return load(path, threads=threads, runtime=runtime)  # type: ignore[arg-type]


def tasks_of_model(model: Predictor | Path | str) -> frozenset[Task]:
    """What a model answers, by its card; nothing where it is none, or can't be opened."""
    if isinstance(model, Predictor):
        return tasks_of(model.card.tasks)
    if not is_model(Path(model)):
        return frozenset()
    with contextlib.suppress(MaskwrightError):  # whoever opens it says what is wrong
        path = find_checkpoint(Path(model))
        if path.suffix == ".safetensors":
            from maskwright.architectures import read_card

            return tasks_of(read_card(path).tasks)
        return tasks_of(
            read_bundle(bundled(str(path)) if str(path) in BUNDLED else path).card.tasks
        )
    return frozenset()


def refine_answers(
    predictor: Predictor, name: str, settings: Mapping[str, Any], note: Note = no_note
) -> None:
    """Let a model's class maps be refined by the image, if a way is named.

    Args:
        predictor: changed.
        name: a key of `refine.STEPS`; "none" for the model's plain answers; "" leaves it as it is.
        settings: of that way.
        note: told where the model has no probabilities to start from.

    Raises:
        ConfigError: an unknown name or setting, or a model without class maps.
    """
    if not name:
        return
    predictor.refinement = None if name == NONE else Refinement.of(name, settings)
    if predictor.refinement is not None and not predictor.gives_probabilities:
        note(
            f"{predictor.card.name} gives no probabilities (export --probabilities): refined from "
            f"its class map, each pixel {predictor.refinement.confidence:.0%} sure"
        )
