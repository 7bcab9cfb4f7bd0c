"""`ModelCard`: what travels with weights, in a checkpoint and in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwright.core.classes import Classes
from maskwright.core.errors import MaskwrightError, ModelFileError
from maskwright.core.resize import Resize

FORMAT_VERSION = 1
"""Raised when older programs could no longer read what newer ones write."""


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
    measured: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unstated"
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "architecture": self.architecture,
            "config": dict(self.config),
            "classes": self.classes.to_dict(),
            "tasks": list(self.tasks),
            "resize": self.resize.to_dict(),
            "mask_threshold": self.mask_threshold,
            "score_threshold": self.score_threshold,
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
                measured=dict(data["measured"]),
                training=dict(data["training"]),
                licence=str(data["licence"]),
                version=str(data["version"]),
            )
        except (LookupError, TypeError, ValueError, MaskwrightError) as error:
            raise ModelFileError(
                f"{source} has a damaged card ({type(error).__name__}: {error}); export it again."
            ) from error
