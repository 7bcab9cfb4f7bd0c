"""A network small enough for tests of everything around networks, and its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.architectures.contract import Architecture, Card, SemanticNetwork
from maskwright.core.card import ModelCard
from maskwright.core.classes import Classes
from maskwright.core.resize import Resize


@dataclass(frozen=True, kw_only=True)
class StandinConfig:
    classes: int = 3
    width: int = 8
    dilations: tuple[tuple[int, int], ...] = ((1, 1), (2, 2))


class Standin(SemanticNetwork):
    """Convolutions with batch norm, one of them depthwise, one transposed, an auxiliary head."""

    auxiliary_weights: ClassVar[Mapping[str, float]] = {"aux": 0.4}

    def __init__(self, config: StandinConfig) -> None:
        super().__init__(config)
        width = config.width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, 1, d, d, groups=width, bias=False),
                nn.BatchNorm2d(width),
            )
            for d in config.dilations
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(width, width, 2, 2), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.head = nn.Conv2d(width, config.classes, 1)
        self.aux = nn.Conv2d(width, config.classes, 1)

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        features = self.stem(images_B3HW)
        features = F.relu(sum(branch(features) for branch in self.branches))
        outputs = {"logits": self.head(self.up(features))}
        return outputs | {"aux": self.aux(features)} if self.training else outputs

    def head_prefixes(self) -> tuple[str, ...]:
        return ("head.", "aux.")


RECORD = Architecture(
    network=Standin,
    config=StandinConfig(),
    card=Card(
        title="Stand-in",
        paper="none",
        tasks=("semantic",),
        repository="none",
        licence="Apache-2.0",
        from_reference=dict,
    ),
    tiny=lambda classes: Standin(StandinConfig(classes=classes)),
    input_size=(48, 64),
)


def make_network(classes: int = 3, seed: int = 0) -> Standin:
    """With batch norm statistics that folding must not lose, and a say for every class."""
    torch.manual_seed(seed)
    network = Standin(StandinConfig(classes=classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    images = torch.from_numpy(np.stack(make_images(4)).transpose(0, 3, 1, 2))
    with torch.no_grad():
        logits = network.eval()(network.normalise(images))["logits"]
        network.head.bias -= logits.mean(dim=(0, 2, 3))
    return network


def make_card(network: Standin | None = None, **changes) -> ModelCard:
    entries = {
        "name": "stand-in",
        "architecture": "standin",
        "config": (network or make_network()).config_dict(),
        "classes": Classes.of(["grass", "line", "ball"]),
        "tasks": ("semantic",),
        "resize": Resize(size=(48, 64)),
        "measured": {"val": {"miou": 0.5}},
    }
    return ModelCard(**(entries | changes))


def make_images(count: int = 2, size: tuple[int, int] = (75, 100)) -> list[np.ndarray]:
    """Smooth coloured pictures, uint8 RGB."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: size[0], : size[1]]
    pictures = []
    for _ in range(count):
        waves = [
            np.sin(rows / rng.uniform(5, 20)) + np.cos(columns / rng.uniform(5, 20))
            for _ in range(3)
        ]
        pictures.append((np.stack(waves, -1) * 60 + 128).astype(np.uint8))
    return pictures
