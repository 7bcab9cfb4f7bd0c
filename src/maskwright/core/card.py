"""`ModelCard`: what travels with weights, in a checkpoint and in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import MaskwrightError, ModelFileError
from maskwright.core.resize import Resize

FORMAT_VERSION = 2
"""Raised when older programs could no longer read what newer ones write."""

_PLAIN_VERSION = 1
"""Of a card without postprocessing: programs that don't know of it answer as its author's did."""


@dataclass(frozen=True, kw_only=True)
class Postprocess:
    """What is to be done with a network's answer, as plain data.

    Attributes:
        name: of the step; which ones there are, `refine.STEPS` tells.
        parameters: its settings by name; the step's defaults for those that are left out.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {"name": self.name, "parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Postprocess:
        """Inverse of `to_dict`; what isn't of its form raises LookupError or TypeError."""
        name, parameters = data["name"], data["parameters"]
        if not isinstance(name, str) or not isinstance(parameters, Mapping):
            raise TypeError(f"expected a postprocess step's name and parameters, got {data!r}")
        return cls(name=name, parameters=dict(parameters))


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything needed to use a trained network and to trust it.

    Attributes:
        name: of the model.
        architecture: key in `architectures.ARCHITECTURES`.
        config: the architecture's configuration, as plain data.
        classes: names and colours of the outputs.
        tasks: what the network answers: "semantic", "instances", "boxes", "labels".
        resize: how an image becomes the input.
        mask_threshold: instances: the probability above which a pixel belongs to a mask.
        score_threshold: instances: objects below it are not shown.
        postprocess: the step that improves the class map after the network, if any.
        measured: accuracy, latency, agreement; every entry names its data and machine.
        training: recipe, data, steps, seed, where the first weights came from.
        licence: of the weights.
        version: of Maskwright that wrote the card.
    """

    name: str
    architecture: str
    config: Mapping[str, Any]
    classes: Classes
    tasks: tuple[str, ...]
    resize: Resize
    mask_threshold: float = 0.5
    score_threshold: float = 0.3
    postprocess: Postprocess | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unstated"
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        step = self.postprocess
        return {
            "format_version": _PLAIN_VERSION if step is None else FORMAT_VERSION,
            "name": self.name,
            "architecture": self.architecture,
            "config": dict(self.config),
            "classes": self.classes.to_dict(),
            "tasks": list(self.tasks),
            "resize": self.resize.to_dict(),
            "mask_threshold": self.mask_threshold,
            "score_threshold": self.score_threshold,
            **({} if step is None else {"postprocess": step.to_dict()}),
            "measured": dict(self.measured),
            "training": dict(self.training),
            "licence": self.licence,
            "version": self.version,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "the card") -> ModelCard:
        """Inverse of `to_dict`.

        Args:
            data: what `to_dict` returned.
            source: the file, for the error's text.

        Raises:
            ModelFileError: a newer format, or missing or malformed entries.
        """
        version = data.get("format_version") if isinstance(data, Mapping) else None
        if not isinstance(version, int):
            raise ModelFileError(f"{source} holds no card of Maskwright; export the model again.")
        if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{source} was written by a newer Maskwright (format {version}; this one reads up "
                f"to {FORMAT_VERSION}); run pip install --upgrade maskwright."
            )
        step = data.get("postprocess")
        try:
            return cls(
                name=str(data["name"]),
                architecture=str(data["architecture"]),
                config=dict(data["config"]),
                classes=Classes.from_dict(data["classes"]),
                tasks=tuple(data["tasks"]),
                resize=Resize.from_dict(data["resize"]),
                mask_threshold=float(data["mask_threshold"]),
                score_threshold=float(data["score_threshold"]),
                postprocess=None if step is None else Postprocess.from_dict(step),
                measured=dict(data["measured"]),
                training=dict(data["training"]),
                licence=str(data["licence"]),
                version=str(data["version"]),
            )
        except (LookupError, TypeError, ValueError, MaskwrightError) as error:
            raise ModelFileError(
                f"{source} has a damaged card ({type(error).__name__}: {error}); export it again."
            ) from error
