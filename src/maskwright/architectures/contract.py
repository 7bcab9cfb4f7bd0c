"""The contract that every network keeps, and the card that every architecture carries.

    forward(images_B3HW)        -> dict of raw tensors: every head; auxiliary ones in training only
    training_outputs(images, targets)
                                -> the same in training; a network whose heads need the truth
                                   (regions to look at, queries to denoise) overrides it
    losses(outputs, targets)    -> dict of scalars with "total"; a connected zero for every task
                                   that no image of the batch is labelled for
    deploy(images_B3HW uint8)   -> the standard outputs, one exportable graph
    deploy_probabilities(images)
                                -> the same, and of semantic networks "probabilities" BKHW, to blend
                                   tiles with or to refine

Legend of shape suffixes: B batch, 3 colours (RGB), C channels, K classes, H W height and width of
the input, h w of a feature map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.freezing import is_inside, parts_of, set_learning
from maskwright.architectures.normalisation import IMAGENET_MEAN, IMAGENET_STD
from maskwright.architectures.parameter_groups import ParameterGroup, parameter_groups
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError
from maskwright.core.pixels import Pixels
from maskwright.core.sample import Task
from maskwright.losses.cross_entropy import at_least_float32, cross_entropy
from maskwright.losses.pixel_loss import PixelLoss
from maskwright.losses.targets import Need, Targets


@dataclass(frozen=True, kw_only=True)
class Published:
    """One number that somebody published.

    Attributes:
        what: metric, data set and setting, such as "mIoU Cityscapes val, single scale, 1024x2048".
        value: as printed.
        source: table, page or file where it stands.
        variant: the configuration it is for, a key of ARCHITECTURES.
    """

    what: str
    value: float
    source: str
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights that somebody published, and how images are to be given to them.

    Attributes:
        address: of the file.
        mean, std: of each channel, RGB in 0..1, that it was trained with; None: the architecture's
            own. Other ranges of values are expressed in these: 0..255 less a mean is a std of
            1 / 255. `from_reference` turns weights for BGR round.
    """

    address: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """An architecture's facts.

    Attributes:
        title: as the paper writes it.
        paper: authors, title, venue, year, arXiv number.
        tasks: "semantic", "instances", "boxes", "labels".
        repository: the authors' code, as the reference that a golden was recorded from.
        licence: of that code (ours is Apache-2.0, written from the paper).
        published: numbers with their sources; GPU speeds too.
        checkpoints: name -> the authors' weights.
        notes: what differs from the paper, what is an interpretation.
        from_reference: (network's state dict of the authors' naming) -> ours.
    """

    title: str
    paper: str
    tasks: tuple[Task, ...]
    repository: str
    licence: str
    from_reference: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    published: tuple[Published, ...] = ()
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    notes: str = ""


class Config(Protocol):
    """A frozen keyword-only dataclass of sizes; every semantic one has `classes`."""

    @property
    def classes(self) -> int:
        """K, background included."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One entry of `ARCHITECTURES`.

    Attributes:
        network: the class; `network(config)` builds it.
        config: the sizes of this variant.
        card: the paper's facts, shared by the variants.
        tiny: builds the smallest configuration, <= 0.5 M parameters, for 64x64 images:
            tiny(classes) -> network.
        input_size: (height, width) that figures such as GFLOPs are told for.
    """

    network: Callable[[Any], Network]
    config: Config
    card: Card
    tiny: Callable[[int], Network]
    input_size: tuple[int, int] = (512, 512)


class Network(nn.Module, ABC):
    """What every architecture derives from.

    Attributes:
        config: the sizes it was built with.
        mean, std: RGB in 0..1; buffers that `deploy` normalises with. They are not in the state
            dict; the configuration or the encoder sets them, then the weights that are loaded.
        normalisation: the same as numbers: (mean, std), one of each a channel.
        built_normalisation: as it was built, before any weights.
        highest: the images' value of full brightness, which `normalise` makes 1: 255 of 8 bits.
        modifications: what `modify` did to it since it was built, in order; its card tells them.
        frozen: names of the parts that learn nothing (`freeze`).
    """

    mean: Tensor
    std: Tensor
    modifications: tuple[Modification, ...]
    frozen: tuple[str, ...]
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]

    def __init__(
        self,
        config: Config,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.config = config
        self.modifications = ()
        self.frozen = ()
        self.highest = 255
        self.normalise_by(mean, std)
        self.built_normalisation = self.normalisation

    @property
    def expects(self) -> Pixels:
        """What the images are that it takes: RGB of 8 bits, unless it was told or changed."""
        return Pixels(channels=len(self.normalisation[0]), highest=self.highest)

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set what images are normalised with, one number a channel.

        Raises:
            ConfigError: not the same number of both, or a deviation that is not above zero.
        """
        if len(mean) != len(std) or not min(std) > 0:
            raise ConfigError(
                f"expected a mean and a deviation above zero of each channel, got {tuple(mean)} "
                f"and {tuple(std)}."
            )
        self.normalisation = tuple(map(float, mean)), tuple(map(float, std))
        like = getattr(self, "mean", None)
        # torch.device("meta") builds must keep these values: they are not in the state dict.
        with torch.device("cpu"):
            for name, values in zip(("mean", "std"), self.normalisation):
                values_1C11 = torch.tensor(values).view(1, -1, 1, 1)
                if like is not None:
                    values_1C11 = values_1C11.to(like.device, like.dtype)
                self.register_buffer(name, values_1C11, persistent=False)

    @abstractmethod
    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """RGB float images, already normalised -> every head's raw tensor."""

    def training_outputs(self, images_B3HW: Tensor, targets: Targets) -> dict[str, Tensor]:
        """What `losses` takes: `forward`, unless a head needs the truth to run.

        Args:
            images_B3HW: as of `forward`.
            targets: of the images, in their pixels.
        """
        del targets
        return self(images_B3HW)

    @property
    def needs(self) -> frozenset[Need]:
        """What the loader is to make of the truth for this network's losses."""
        return frozenset()

    @abstractmethod
    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Scalars by name, "total" among them."""

    @abstractmethod
    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB 0..255, or what `expects` tells -> the standard outputs."""

    def deploy_probabilities(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """`deploy` with "probabilities" beside the rest, where the network has them.

        Raises:
            ConfigError: it answers no class probabilities of pixels.
        """
        raise ConfigError(
            f"expected a semantic network to give probabilities, got {type(self).__name__}; leave "
            "probabilities out."
        )

    def normalise(self, images_B3HW: Tensor) -> Tensor:
        """RGB 0..255 (or 0..`highest`; integers or floats) -> what `forward` takes."""
        scaled = images_B3HW.to(self.mean.dtype) / float(self.highest)
        return (scaled - self.mean) / self.std

    def config_dict(self) -> dict[str, Any]:
        """The configuration as plain data, to rebuild the network that holds weights already.

        "pretrained" is False in it: a checkpoint's weights need no others loaded first.
        """
        config = asdict(self.config)
        return config | ({"pretrained": False} if "pretrained" in config else {})

    @abstractmethod
    def head_prefixes(self) -> tuple[str, ...]:
        """State-dict prefixes of what depends on the number of classes: swapped for new classes."""

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """What learns, split by rate and weight decay; a network with wishes of its own overrides.

        Norms, biases, queries, class tokens and position tables are not decayed, nor what a module
        names in a method `no_weight_decay`. Frozen parameters are in no group.
        """
        return parameter_groups(self, self.encoder_parameters())

    def freeze(self, *parts: str) -> None:
        """Let parts of the network learn nothing more: neither weights nor batch statistics.

        They stay in evaluation mode, without dropout, while the rest is trained. Modules that are
        put into a frozen part later learn; freeze after `modify`.

        Args:
            parts: names of modules or parameters, such as "encoder" or "encoder.layer1"; "" is
                everything.

        Raises:
            ConfigError: the network has no such part; the text tells those it has.
        """
        self.frozen = tuple(dict.fromkeys((*self.frozen, *parts_of(self, parts))))
        set_learning(self, self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for name, module in self.named_modules() if mode and self.frozen else ():
            if any(is_inside(name, part) for part in self.frozen):
                module.training = False
        return self

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Parameters that come pretrained and learn slower; none unless a network says so."""
        return []


class PixelNetwork(Network):
    """A network that answers with a class map, alone or beside other things.

    Attributes:
        pixel_loss: the configured loss; plain cross entropy until training sets another.
    """

    def __init__(
        self,
        config: Config,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__(config, mean, std)
        self.pixel_loss: PixelLoss = cross_entropy

    @property
    def needs(self) -> frozenset[Need]:
        """What the pixel loss wants."""
        return getattr(self.pixel_loss, "needs", frozenset())


class SemanticNetwork(PixelNetwork):
    """A network that answers with one class a pixel.

    `forward` returns {"logits": BKhw} and, in training, auxiliary logits under names that
    `auxiliary_weights` lists. Losses and deployment are the same for all of them.

    Attributes:
        auxiliary_weights: output name -> its weight in the total loss.
    """

    auxiliary_weights: ClassVar[Mapping[str, float]] = {}

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """The pixel loss of "logits" and of each auxiliary head, weighted, and "total"."""
        known = targets.class_map_BHW
        size = outputs["logits"].shape[-2:] if known is None else known.shape[-2:]
        weights = {"logits": 1.0, **self.auxiliary_weights}
        terms = {
            name: weights[name]
            * self.pixel_loss(resize_logits(at_least_float32(logits), size), targets)
            for name, logits in outputs.items()
            if name in weights
        }
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> {"class_map": BHW}: logits at the input's size, then argmax.

        The ids are uint8, int32 above 255 classes.
        """
        return {"class_map": best_classes(self._logits(images_B3HW))}

    def deploy_probabilities(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """uint8 RGB -> {"class_map": BHW, "probabilities": float32 BKHW}, of the same logits.

        The softmax is taken at the input's size, so the class map is its argmax, up to ties.
        """
        logits_BKHW = self._logits(images_B3HW)
        return {
            "class_map": best_classes(logits_BKHW),
            "probabilities": softmax_of(logits_BKHW.float()),
        }

    def _logits(self, images_B3HW: Tensor) -> Tensor:
        logits_BKhw = self(self.normalise(images_B3HW))["logits"]
        return resize_logits(logits_BKhw, (images_B3HW.shape[-2], images_B3HW.shape[-1]))


def softmax_of(logits_BKHW: Tensor) -> Tensor:
    """Over the classes, spelled out: ONNX Runtime's own over channels takes 5 times as long."""
    raised_BKHW = (logits_BKHW - logits_BKHW.amax(dim=1, keepdim=True)).exp()
    return raised_BKHW / raised_BKHW.sum(dim=1, keepdim=True)


def best_classes(logits_BKHW: Tensor) -> Tensor:
    """The best class of each pixel [B, H, W]: uint8, int32 above 255 classes."""
    dtype = torch.uint8 if logits_BKHW.shape[1] <= 255 else torch.int32
    return logits_BKHW.argmax(dim=1).to(dtype)


def resize_logits(logits_BKhw: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, half-pixel centres; a no-op where the size fits already."""
    if tuple(logits_BKhw.shape[-2:]) == tuple(size):
        return logits_BKhw
    return F.interpolate(logits_BKhw, size=tuple(size), mode="bilinear", align_corners=False)
