"""The settings of a run, whole and resolved: what `config.json` in the run folder holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from maskwright.core.errors import ConfigError
from maskwright.core.settings import config_values
from maskwright.data.augment import Augmentation

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

_CHOICES = {
    "budget_of": ("run", "steps"),
    "optimiser": ("adamw", "sgd"),
    "schedule": ("poly", "cosine"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "resize": ("auto", "stretch", "letterbox", "pad"),
    "border": ("auto", "fill", "mirror"),
}
_LOWEST = {
    "batch": 1, "accumulate": 1, "evaluate_every": 1, "workers": 0, "patience": 0, "seed": 0,
    "threads": 1, "cache": 0, "clip": 0, "weight_decay": 0, "encoder_lr": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train one network on one data set.

    Attributes:
        architecture: key in `architectures.ARCHITECTURES`.
        options: overrides of the architecture's configuration.
        size: (height, width) of the network's input, in training and afterwards.
        crop: (height, width) of what training sees of an image that fills `size`: cut out at its
            scale, smaller than what ships; None is all of it.
        resize: how an image comes to `size`, in training and afterwards: "stretch" may change its
            aspect, "letterbox" keeps it and pads, "pad" does so and enlarges none; "auto" stretches
            where that changes little, and enlarges none where nearly all fit.
        border: what is padded around it: "fill", grey; "mirror", the image turned over at its edge;
            "auto" mirrors for class maps, and fills where objects would be seen twice.
        batch: images a step, of all processes together.
        accumulate: steps whose gradients are summed before the weights change.
        budget: wall-clock seconds for everything, turned into steps once; or
        epochs: passes over the training images; or
        steps: exactly so many. One of the three.
        budget_of: what the budget pays for. "run": everything, by the clock on the wall. "steps":
            training steps alone, in seconds of the processor for each of its threads, so that
            neither scoring nor waiting for other work shortens the training of a comparison.
        freeze: parts of the network that learn nothing, neither weights nor batch statistics, such
            as "encoder" or "encoder.layer1".
        optimiser: "adamw" or "sgd" (momentum 0.9, Nesterov).
        lr: peak learning rate.
        encoder_lr: factor on it for pretrained encoders.
        weight_decay: decoupled for AdamW; not on norms and biases.
        schedule: "poly" (power 0.9) or "cosine", to zero.
        warmup: share of the steps over which the rate rises from zero.
        clip: highest norm of the gradient; 0 switches it off.
        ema: decay of the averaged weights that are scored and shipped; 0 switches it off.
        device: "cpu", "cuda", "cuda:N", "mps", or "auto": a card where there is one.
        precision: "fp32", "bf16" (autocast), "fp16" (autocast with a loss scale; cards only), or
            "auto": whichever is faster here, timed at the start.
        compile: let torch.compile make kernels of the training step; it costs minutes first.
        deterministic: only algorithms that give the same bits again, on a card, too.
        loss: names in `losses.PIXEL_LOSSES`, with factors and settings: "ce + 0.5*dice".
        class_power: exponent of the class weights that "weighted-ce" uses.
        balance: show images with rare classes more often.
        augmentation: how far training images are changed.
        headline: the score that chooses the best weights, by its name; "" is that of the task, and
            of several tasks their mean.
        evaluate_every: score on the validation split so many times over the run, evenly spread.
        patience: stop after so many scores without a better one; 0 never stops early.
        sync_batch_stats: where many processes train together, let batch norms see the whole batch,
            not each process's part.
        seed: of everything random.
        workers: processes that augment, for each process that trains.
        threads: of torch in each process; None shares all cores among those of a machine.
        cache: bytes of decoded images each process keeps in memory; None shares a third of what
            is free.
    """

    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (256, 256)
    crop: tuple[int, int] | None = None
    resize: Literal["auto", "stretch", "letterbox", "pad"] = "auto"
    border: Literal["auto", "fill", "mirror"] = "auto"
    batch: int = 8
    accumulate: int = 1
    budget: float | None = None
    epochs: float | None = None
    steps: int | None = None
    budget_of: Literal["run", "steps"] = "run"
    freeze: tuple[str, ...] = ()
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    encoder_lr: float = 1.0
    weight_decay: float = 0.01
    schedule: Literal["poly", "cosine"] = "poly"
    warmup: float = 0.03
    clip: float = 5.0
    ema: float = 0.999
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    deterministic: bool = False
    loss: str = "ce"
    class_power: float = 0.5
    balance: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    headline: str = ""
    evaluate_every: int = 10
    patience: int = 0
    sync_batch_stats: bool = False
    seed: int = 0
    workers: int = 1
    threads: int | None = None
    cache: int | None = None

    def __post_init__(self) -> None:
        self._check_types()
        lengths = [self.budget, self.epochs, self.steps]
        given = [length for length in lengths if length is not None]
        if len(given) != 1 or given[0] <= 0:
            raise ConfigError(
                "expected exactly one positive length of the run (budget, epochs or steps), got "
                f"budget={self.budget}, epochs={self.epochs}, steps={self.steps}."
            )
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"expected {name} >= {lowest}, got {value}.")
        if min(self.size) < 1:
            raise ConfigError(f"expected a positive size (height, width), got {self.size}.")
        if self.crop is not None and not all(
            0 < cut <= side for cut, side in zip(self.crop, self.size)
        ):
            raise ConfigError(
                f"expected a crop (height, width) within the size {self.size}, got {self.crop}."
            )
        if not 0 <= self.ema < 1 or not 0 <= self.warmup < 1 or self.lr <= 0:
            raise ConfigError(
                "expected 0 <= ema < 1, 0 <= warmup < 1 and lr > 0, got "
                f"ema={self.ema}, warmup={self.warmup}, lr={self.lr}."
            )

    def _check_types(self) -> None:
        """Refuse values of another type; lists become tuples, whole numbers floats."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"expected {name} to be one of {', '.join(choices)}, "
                    f"got {getattr(self, name)!r}."
                )
        if "classes" in self.options:
            raise ConfigError(
                f"the data set tells the number of classes, got {self.options['classes']} in the "
                "options; leave it out."
            )
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del given["options"]
        for name, value in config_values(TrainConfig, given, "training").items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"expected {name} to be a finite number, got {value}.")
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`; what else config.json tells is left out.

        Raises:
            ConfigError: values that make no sense.
        """
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        own.setdefault("resize", "stretch")  # of runs before there was a choice
        changes = config_values(Augmentation, own.pop("augmentation", {}), "augmentation")
        return cls(**own, augmentation=Augmentation(**changes))


def parse_duration(text: str) -> float:
    """ "30m", "90s", "1.5h", "1h30m" -> seconds.

    Raises:
        ConfigError: anything else.
    """
    parts = re.findall(r"([\d.]+)([smh])", text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        raise ConfigError(f"expected a duration such as 90s, 30m or 1h30m, got {text!r}.")
    try:
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    except ValueError:
        raise ConfigError(f"expected a duration such as 90s or 30m, got {text!r}.") from None
    if not 0 < seconds < math.inf:
        raise ConfigError(f"expected a duration above zero, and an end to it, got {text!r}.")
    return seconds
