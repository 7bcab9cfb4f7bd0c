"""`ModelCard`: what travels with weights, in a checkpoint and in a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, get_args

from maskwright.core.classes import Classes
from maskwright.core.errors import MaskwrightError, ModelFileError
from maskwright.core.pixels import RGB, Pixels
from maskwright.core.resize import Resize
from maskwright.core.sample import Task

FORMAT_VERSION = 4
"""Raised when older programs could no longer read what newer ones write."""

_PLAIN_VERSION, _POSTPROCESS_VERSION, _CHANGED_VERSION = 1, 2, 3
"""Of a card without what came later: programs that don't know of that answer as its author's did.
"""


_LARGEST = 1 << 16  # channels, depths, classes: what any network's configuration counts


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A function's name and its arguments, as plain data."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {"name": self.name, "parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; what isn't of its form raises LookupError or TypeError."""
        name, parameters = data["name"], data["parameters"]
        if not isinstance(name, str) or not isinstance(parameters, Mapping):
            raise TypeError(f"expected a {cls.__name__}'s name and parameters, got {data!r}")
        return cls(name=name, parameters=dict(parameters))


class Postprocess(_Named):
    """What is to be done with a network's answer, as plain data.

    Attributes:
        name: of the step; which ones there are, `refine.STEPS` tells.
        parameters: its settings by name; the step's defaults for those that are left out.
    """


class Modification(_Named):
    """What was done to a network's structure after it was built, as plain data.

    A pruned, wrapped or re-parametrised network is rebuilt by doing it again, in order.

    Attributes:
        name: of the modification; which ones there are, `architectures.MODIFICATIONS` tells.
        parameters: all that its function needs to do the same again, such as names of layers.
    """


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
        mean, std: of each channel, 0..1, that the network normalises images with; None where a card
            tells only what the architecture is: its own.
        pixels: what the images are that it takes; RGB of 8 bits unless told.
        modifications: what was done to the network after it was built, in order.
        measured: accuracy, latency, agreement; every entry names its data and machine.
        training: recipe, data, steps, seed, where the initial weights came from.
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
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pixels: Pixels = RGB
    modifications: tuple[Modification, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unstated"
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        step, changes = self.postprocess, self.modifications
        return {
            "format_version": self._version(),
            "name": self.name,
            "architecture": self.architecture,
            "config": dict(self.config),
            "classes": self.classes.to_dict(),
            "tasks": list(self.tasks),
            "resize": self.resize.to_dict(),
            "mask_threshold": self.mask_threshold,
            "score_threshold": self.score_threshold,
            **({} if step is None else {"postprocess": step.to_dict()}),
            **({} if self.mean is None else {"mean": list(self.mean)}),
            **({} if self.std is None else {"std": list(self.std)}),
            **({} if self.pixels == RGB else {"pixels": self.pixels.to_dict()}),
            **({"modifications": [each.to_dict() for each in changes]} if changes else {}),
            "measured": dict(self.measured),
            "training": dict(self.training),
            "licence": self.licence,
            "version": self.version,
        }

    def _version(self) -> int:
        """The oldest format whose readers use such a card rightly."""
        if self.resize.mode == "pad" or self.resize.border != "fill":
            return FORMAT_VERSION
        if self.modifications or self.pixels != RGB:
            return _CHANGED_VERSION
        return _PLAIN_VERSION if self.postprocess is None else _POSTPROCESS_VERSION

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
                name=_text(data, "name"),
                architecture=_text(data, "architecture"),
                config=_bounded(data["config"]),
                classes=_classes(data["classes"]),
                tasks=_tasks(data["tasks"]),
                resize=_resize(data["resize"]),
                mask_threshold=_share(data, "mask_threshold"),
                score_threshold=_share(data, "score_threshold"),
                postprocess=None if step is None else Postprocess.from_dict(step),
                mean=_numbers(data.get("mean")),
                std=_numbers(data.get("std")),
                pixels=Pixels.from_dict(data["pixels"]) if "pixels" in data else RGB,
                modifications=tuple(map(Modification.from_dict, data.get("modifications", ()))),
                measured=dict(data["measured"]),
                training=dict(data["training"]),
                licence=_text(data, "licence"),
                version=_text(data, "version"),
            )
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError,
                RecursionError, MaskwrightError) as error:  # fmt: skip
            raise ModelFileError(
                f"{source} has a damaged card ({type(error).__name__}: {error}); export it again."
            ) from error


def _numbers(values: Any) -> tuple[float, ...] | None:
    found = None if values is None else tuple(map(float, values))
    if found is not None and not all(map(math.isfinite, found)):
        raise ValueError(f"expected finite numbers, got {found}")
    return found


def _text(data: Mapping[str, Any], key: str) -> str:
    if not isinstance(data[key], str):
        raise TypeError(f"expected {key} as text, got {str(data[key])[:80]}")
    return str(data[key])


def _share(data: Mapping[str, Any], key: str) -> float:
    value = float(data[key])
    if not 0 <= value <= 1:
        raise ValueError(f"expected {key} in 0..1, got {value}")
    return value


def _classes(data: Any) -> Classes:
    names = data["names"]
    if not names or not all(isinstance(name, str) for name in names) or len(names) > _LARGEST:
        raise ValueError(f"expected 1 to {_LARGEST} class names, got {str(names)[:80]}")
    return Classes.from_dict(data)


def _resize(data: Any) -> Resize:
    found = Resize.from_dict(data)
    if not all(0 < side <= _LARGEST for side in found.size):
        raise ValueError(f"expected an input of 1 to {_LARGEST} pixels a side")
    return found


def _tasks(tasks: Any) -> tuple[str, ...]:
    found = tuple(tasks) if isinstance(tasks, list | tuple) else ()
    if not found or any(task not in get_args(Task) for task in found):
        raise ValueError(f"expected tasks among {get_args(Task)}, got {str(tasks)[:80]}")
    return found


def _bounded(config: Any) -> dict[str, Any]:
    """A network's configuration; numbers that no network has would take all time and memory."""
    found = dict(config)
    numbers = [found]
    while numbers:
        value = numbers.pop()
        if isinstance(value, Mapping):
            numbers += value.values()
        elif isinstance(value, list | tuple):
            numbers += value
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"expected whole numbers up to {_LARGEST} in config, got {value:.3g}")
    return found
